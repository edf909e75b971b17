// RapiDoc's colours are attributes, which a style sheet cannot set: this follows the reader's colour scheme.
const page = document.querySelector("rapi-doc");
const dark = matchMedia("(prefers-color-scheme: dark)");

function follow() {
  page.setAttribute("theme", dark.matches ? "dark" : "light");
  page.setAttribute("bg-color", dark.matches ? "#1b1f24" : "#ffffff");
  page.setAttribute("text-color", dark.matches ? "#e6edf3" : "#1b1f24");
  page.setAttribute("primary-color", dark.matches ? "#7fb8ff" : "#0269d0");
}

follow();
dark.addEventListener("change", follow);
