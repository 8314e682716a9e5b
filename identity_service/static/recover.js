// Fills in User ID and recovery code from the fragment of the card's QR code, which no server is sent.
"use strict";
{
  const form = document.querySelector("form[data-recover]");
  const [, userId, code] = location.hash.match(/^#([\w-]{12,20})\.([\w-]{22,40})$/) || [];
  if (form && code) {
    form.elements.user_id.value = userId;
    form.elements.secret.value = code;
    history.replaceState(null, "", location.pathname);
    form.querySelector("button").focus();
  }
}
