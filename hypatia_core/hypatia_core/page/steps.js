// The rewrites, one by one.
let steps = [], step = 0;

function rewrites(graph) {
  steps = graph.steps;
  step = 0;
  const holder = document.getElementById("steps");
  if (!steps.length) {
    holder.replaceChildren(make("p", { class: "quiet" }, "Nothing was rewritten in this graph."));
    return;
  }
  const list = make("ol", { class: "list" });
  steps.forEach((each, i) => {
    const gain = (each.seconds_left - each.seconds_right) * each.times;
    list.append(make("li", {}, make("button", { onclick: () => showStep(i) },
      make("span", { class: "quiet place" }, `${i + 1}`), make("span", {}, each.rule),
      make("span", { class: "gain" }, Math.abs(gain) < 1e-9 ? "±0" : `${gain > 0 ? "−" : "+"}${seconds(Math.abs(gain))}`))));
  });
  const bar = make("div", { class: "bar" },
    make("button", { id: "previous-step", onclick: () => showStep(step - 1) }, "← previous"),
    make("button", { id: "next-step", onclick: () => showStep(step + 1) }, "next →"),
    make("output", { id: "step-number" }), make("span", { class: "push" }),
    make("button", { id: "find-step", onclick: findStep }, "show in the graph"));
  const panel = make("div", {}, bar, make("div", { id: "step", "aria-live": "polite" }));
  holder.replaceChildren(make("div", { class: "stepper" }, list, panel));
  holder.onkeydown = (event) => {
    if (event.key === "ArrowRight" || event.key === "ArrowDown") { showStep(step + 1); event.preventDefault(); }
    if (event.key === "ArrowLeft" || event.key === "ArrowUp") { showStep(step - 1); event.preventDefault(); }
  };
  showStep(0);
}

function showStep(number) {
  if (number < 0 || number >= steps.length) return;
  step = number;
  const each = steps[step];
  const gain = (each.seconds_left - each.seconds_right) * each.times;
  const graph = PANES[0]?.program;
  const lines = [...new Set(each.at.map((i) => graph?.nodes[i]).filter(Boolean)
    .map((n) => [n.source && `${n.source}  ${n.code ?? ""}`, n.module].filter(Boolean).join("   in ")))].filter(Boolean);
  document.getElementById("step").replaceChildren(make("div", {},
    make("h3", { style: "margin: 0 0 4px" }, each.rule, each.backwards ? make("span", { class: "quiet" }, "  from right to left") : null),
    make("div", {}, make("span", { class: "badge" }, each.soundness || "a rule of the user's"),
      each.times > 1 ? make("span", { class: "badge" }, `at ${each.times} equal parts`) : null,
      make("span", { class: "badge" }, Math.abs(gain) < 1e-9 ? "costs nothing, gains nothing by itself" : gain > 0 ? `saves ${seconds(gain)}, predicted` : `costs ${seconds(-gain)} more by itself, predicted`)),
    make("div", { class: "formula" }, make("span", { class: "left" }, math(each.left)), make("span", { class: "arrow" }, "is rewritten as"), make("span", { class: "right" }, math(each.right))),
    each.pattern.mathml ? make("div", {}, make("span", { class: "quiet" }, "The rule"), make("div", { class: "formula small" }, math(each.pattern))) : null,
    make("p", {}, each.why ? `Why it holds: ${each.why}.` : "Why it holds: its author says so."),
    each.conditions.length ? make("p", {}, `Conditions, each known to hold here: ${each.conditions.join("; ")}.`) : null,
    lines.length ? make("p", {}, make("span", { class: "quiet" }, "Where: "), ...lines.slice(0, 6).flatMap((line) => [make("code", {}, line), make("br")])) : null,
    lines.length > 6 ? make("p", { class: "quiet" }, `and ${lines.length - 6} more`) : null));
  document.getElementById("step-number").textContent = `${step + 1} of ${steps.length}`;
  document.getElementById("previous-step").disabled = step === 0;
  document.getElementById("next-step").disabled = step === steps.length - 1;
  document.getElementById("find-step").disabled = !each.at.length;
  document.querySelectorAll("#steps .list button").forEach((button, i) => {
    button.setAttribute("aria-current", i === step);
    if (i === step) keepInView(button);
  });
  if (PANES[0]?.program === graph && graph) PANES[0].mark(each.at, "match");
}

function keepInView(button) {
  const list = button.closest(".list");
  const top = button.offsetTop - list.offsetTop;
  if (top < list.scrollTop) list.scrollTop = top;
  if (top + button.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top + button.offsetHeight - list.clientHeight;
}

function findStep() {
  const [first] = steps[step].at;
  if (first === undefined || !PANES.length) return;
  PANES[0].mark(steps[step].at, "match");
  PANES[0].show(first);
  document.getElementById("programs").scrollIntoView({ behavior: "smooth" });
}
