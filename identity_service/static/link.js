// Moves the link's secret into the form; sends nothing but "opened".
"use strict";
{
  const form = document.querySelector("form[data-link]");
  function take() {
    const link = location.hash.slice(1);
    // Any secret is longer than the name of a place on the page, such as #main.
    if (!form || !/^[\w.-]{20,}$/.test(link)) return;
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
