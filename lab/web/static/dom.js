// Elements from values. Text is only ever set as text: nothing that a machine says can become markup.

export const find = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "click") made.addEventListener("click", value);
    else if (key === "value") made.value = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const shown = new WeakMap();

// Put these in place of what is there, unless that looks the same: whoever reads or has the focus there stays.
export function show(place, ...children) {
  const wanted = element("div", {}, ...children);
  if (wanted.innerHTML === shown.get(place)) return;
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  shown.set(place, wanted.innerHTML);
  place.replaceChildren(...wanted.childNodes);
  if (focused) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

// A table: columns are {title, number, long, name}, rows are lists of texts or nodes.
export function table(columns, rows, caption, nothing = "None.") {
  if (!rows.length) return element("p", { class: "quiet" }, nothing);
  const head = columns.map((it) => element("th", { scope: "col", class: it.number && "number" }, it.title));
  const body = rows.map((cells) =>
    element("tr", {}, ...cells.map((cell, index) =>
      element("td", { "data-of": columns[index].title, class: columns[index].number ? "number" : columns[index].long ? "long" : columns[index].name && "name" },
        ...(Array.isArray(cell) ? cell : [cell ?? ""])))));
  // It can be wider than the page: then arrow keys move it.
  const label = caption ?? `Table by ${columns.find((it) => it.title).title.toLowerCase()}`;
  return element("div", { class: "wide", tabindex: "0", role: "group", "aria-label": label, "data-key": label }, element("table", {},
    caption ? element("caption", {}, caption) : null,
    element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body)));
}

export function word(text, good) {
  return element("span", { class: good === true ? "good" : good === false ? "bad" : undefined }, text);
}
