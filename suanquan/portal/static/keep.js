// What was typed stays: a link that shows this page in another language, unit or order takes the form along that somebody is
// filling in. Without this script each form has buttons of its own for that.
let last = null;

function dirty(form) {
  return [...form.elements].some((one) => {
    if (one.type === "file") return one.files.length > 0;
    if (one.type === "checkbox" || one.type === "radio") return one.checked !== one.defaultChecked;
    if (one.tagName === "SELECT") {
      const usual = [...one.options].findIndex((option) => option.defaultSelected);
      return one.selectedIndex !== Math.max(0, usual) && one.options.length > 0;
    }
    return "defaultValue" in one && one.type !== "hidden" && one.value !== one.defaultValue;
  });
}

function holds(form) {
  const typed = [...form.elements].some((one) => "defaultValue" in one && !["hidden", "checkbox", "radio"].includes(one.type) && one.value);
  return typed || "carries" in form.dataset;
}

function underWay() {
  const forms = [...document.querySelectorAll("form[data-keep]")];
  if (last && dirty(last)) return last;
  return forms.find(dirty) || ("posted" in document.body.dataset && forms.find(holds)) || null;
}

function target(link, form) {
  const to = new URL(link.href);
  const keep = new URL(form.dataset.keep, location.href);
  const own = keep.pathname !== "/keep";
  const page = new URL(own ? keep.href : keep.searchParams.get("to"), location.href);
  const same = to.origin === page.origin && to.pathname === page.pathname && !to.searchParams.has("format");
  if (!link.classList.contains("switch") && (own || !same || link.getAttribute("href").startsWith("#"))) return "";
  for (const name of ["lang", "money"]) {
    if (to.searchParams.has(name)) keep.searchParams.set(name, to.searchParams.get(name));
    else keep.searchParams.delete(name);
    to.searchParams.delete(name);
  }
  if (!link.classList.contains("switch")) keep.searchParams.set("to", to.pathname + to.search);
  return keep.href;
}

document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (form && "keep" in form.dataset) last = form;
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  if (link.target || link.hasAttribute("download")) return;
  const form = underWay();
  const address = form && target(link, form);
  if (!address) return;
  event.preventDefault();
  const button = document.createElement("button");
  button.name = "resume";
  button.value = "1";
  button.hidden = true;
  button.formNoValidate = true;
  button.formMethod = "post";
  button.setAttribute("formaction", address);
  form.append(button);
  form.requestSubmit(button);
  button.remove();
});
