// Moves the link's secret into the form; sends nothing but "opened".
"use strict";
{
  const form = document.querySelector("form[data-link]");
  function take() {
    // A secret is longer than #main; what stands around it stays out.
    const [link] = location.hash.match(/[\w.-]{20,}/) || [];
    if (!form || !link) return;
    form.elements.link.value = link;
    // A refused form comes back without the secret; the fragment brings it.
    form.action = `${location.pathname}#${link}`;
    history.replaceState(null, "", location.pathname);
    document.body.classList.add("has-link");
    for (const field of form.querySelectorAll(".no-link input")) field.required = false;
    if (form.dataset.opened) {
      const body = new URLSearchParams({ link, form_token: form.elements.form_token.value });
      fetch(form.dataset.opened, { method: "POST", body });
    }
  }
  take();
  // A link opened over this very page changes nothing but the fragment.
  addEventListener("hashchange", take);
}
