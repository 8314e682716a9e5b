// Moves the secret from the link's fragment into the form, and out of the address bar; sends nothing but "opened".
"use strict";
{
  const form = document.querySelector("form[data-link]");
  const link = location.hash.slice(1);
  if (form && link) {
    form.elements.link.value = link;
    // A refused form comes back without the secret; the fragment stays, and is found here again.
    form.action = `${form.getAttribute("action")}#${link}`;
    history.replaceState(null, "", location.pathname);
    document.body.classList.add("has-link");
    for (const field of form.querySelectorAll(".no-link input")) field.required = false;
    if (form.dataset.opened) {
      const body = new URLSearchParams({ link, form_token: form.elements.form_token.value });
      fetch(form.dataset.opened, { method: "POST", body });
    }
  }
}
