// Filters the operations by every word that is typed, and opens the one that a link leads to.
"use strict";
{
  const field = document.getElementById("search");
  const found = document.querySelector("[data-found]");
  const operations = [...document.querySelectorAll(".operation")].map((part) => [
    part, [part.querySelector(".inside").id, ...[...part.querySelectorAll("summary, .inside > p, td code")].map(
      (one) => one.textContent)].join(" ").toLowerCase(),
  ]);

  function filter() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const [part, text] of operations) {
      part.hidden = !words.every((word) => text.includes(word));
      if (!part.hidden) count += 1;
    }
    for (const group of document.querySelectorAll(".group")) {
      group.hidden = !group.querySelector(".operation:not([hidden])");
    }
    found.textContent = words.length ? `${count} of ${operations.length} operations` : "";
  }

  function open() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = target && target.closest("details");
    if (!folded) return;
    if (folded.hidden) {
      field.value = "";
      filter();
    }
    for (let part = folded; part; part = part.parentElement.closest("details")) part.open = true;
    folded.scrollIntoView();
  }

  field.addEventListener("input", filter);
  field.closest(".search").hidden = false;
  addEventListener("hashchange", open);
  for (const link of document.querySelectorAll(".menu a")) {
    link.addEventListener("click", () => { link.closest("details").open = false; });
  }
  open();
}
