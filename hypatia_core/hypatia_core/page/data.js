// What the other parts share: the data, making elements, showing numbers.
const DATA = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function math(notations) {
  const holder = make("span");
  // Written by Hypatia's own notation module, names escaped.
  holder.innerHTML = `<math display="inline">${notations.mathml}</math>`;
  holder.title = notations.text;
  return holder;
}

function scaled(value, units) {
  for (const [size, unit] of units) if (Math.abs(value) >= size) return `${significant(value / size)} ${unit}`;
  const [size, unit] = units[units.length - 1];
  return `${significant(value / size)} ${unit}`;
}
const significant = (value) => (value === 0 ? "0" : Number(value.toPrecision(3)).toString());
const seconds = (value) => scaled(value, [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]]);
const bytes = (value) => scaled(value, [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]]);
const operations = (value) => scaled(value, [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]]);
const times = (value) => `${value >= 9.95 ? significant(value) : value.toFixed(2)}×`;
const error = (value) => (value === 0 ? "0" : value.toExponential(1));
const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** Seconds of a node as measured, or else as predicted. */
const spent = (node) => node.measured ?? node.predicted ?? 0;
const computes = (node) => !["input", "weight", "output"].includes(node.op);
const moves = (node) => node.bytes > 0;

/** A share of a whole, as text and as a bar. */
function share(part, text) {
  return make("td", { class: "share" }, text, make("i", { style: `width: ${Math.max(1, 100 * part)}%` }));
}
