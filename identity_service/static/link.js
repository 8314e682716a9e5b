// Moves the link's secret into the form; sends nothing but "opened".
"use strict";
{
  const form = document.querySelector("form[data-link]");
  function take() {
    // A secret is longer than #main.
    const [link] = location.hash.match(/[\w.-]{20,}/) || [];
    if (!form || !link) return;
    form.elements.link.value = link;
    // A refused or translated page comes back with it.
    form.action = `${location.pathname}#${link}`;
    for (const other of document.querySelectorAll(".languages")) other.action = `/language#${link}`;
    history.replaceState(null, "", location.pathname);
    document.body.classList.add("has-link");
    for (const field of form.querySelectorAll(".no-link input")) field.required = false;
    if (form.dataset.opened) {
      const body = new URLSearchParams({ link, form_token: form.elements.form_token.value });
      fetch(form.dataset.opened, { method: "POST", body });
    }
  }
  take();
  // A link opened over this very page.
  addEventListener("hashchange", take);
}
