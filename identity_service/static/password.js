// Shows what is typed when asked to, and says what the rule will say; the same rule decides on the server.
"use strict";
{
  const field = document.querySelector("input[data-strength]");
  const hint = document.getElementById("hint");
  const show = document.querySelector("[data-show]");
  if (show && field) {
    show.hidden = false;
    show.querySelector("input").addEventListener("change", (event) => {
      field.type = event.target.checked ? "text" : "password";
    });
  }
  let waiting = 0;
  if (field) field.addEventListener("input", () => {
    clearTimeout(waiting);
    if (field.value) waiting = setTimeout(ask, 400);
  });
  async function ask() {
    const token = field.form.elements.form_token.value;
    const body = new URLSearchParams({ password: field.value, form_token: token });
    const answer = await fetch(field.dataset.strength, { method: "POST", body });
    if (!answer.ok) return;
    const said = await answer.json();
    hint.textContent = said.sentence;
    hint.classList.toggle("good", said.good);
  }
}
