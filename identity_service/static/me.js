// The one thing a page cannot do without a script: print itself.
"use strict";
{
  const button = document.querySelector("[data-print]");
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }
}
