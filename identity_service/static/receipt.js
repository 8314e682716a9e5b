// Reads a chosen file into the field; what is checked is what stands there.
"use strict";
{
  const choose = document.querySelector("[data-reads]");
  const field = document.getElementById("receipt");
  choose.hidden = false;
  choose.querySelector("input").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (file && file.size < 100000) field.value = (await file.text()).trim();
  });
}
