/** Import: a file is dropped or chosen, what it would come to is shown, and then it is booked. */
import { day, money } from "./figures.js";
import { ask, paragraphs, rulesOf, tell, word, Problem } from "./page.js";

const ROWS_MAX = 500;
const ERRORS_MAX = 100;
const form = document.getElementById("import");
const file = document.getElementById("file");
const drop = document.getElementById("drop");
const preview = document.getElementById("preview");
const told = document.getElementById("preview-told");
const book = document.getElementById("book");
const partial = document.getElementById("partial");
let turn = 0;

function at(id) {
  return document.getElementById(id);
}

/** Send the file; with `preview` nothing is booked. */
async function send({ preview: only }) {
  const { account, format, mapping } = form.elements;
  const asked = new URLSearchParams();
  if (only) asked.set("preview", "true");
  else if (partial.checked) asked.set("partial", "true");
  if (account.value) asked.set("account", account.value);
  if (mapping?.value) asked.set("mapping", mapping.value);
  const body = new FormData();
  body.append("file", file.files[0]);
  const path = format.value ? `/import/${format.value}` : "/import";
  return (await ask("POST", `${path}?${asked}`, { body })).json();
}

async function look() {
  if (!file.files.length) return;
  const mine = ++turn;
  await during("reading", async () => {
    const outcome = await send({ preview: true });
    if (mine === turn) show(outcome);
  });
}

/** Do what takes a while, and say what came of it where that is no outcome. */
async function during(name, work) {
  const mine = turn;
  preview.hidden = false;
  preview.setAttribute("aria-busy", "true");
  book.disabled = true;
  told.replaceChildren();
  at("preview-format").textContent = word(name);
  try {
    await work();
  } catch (error) {
    if (mine === turn) await explain(error);
  } finally {
    if (mine === turn) preview.removeAttribute("aria-busy");
  }
}

async function explain(error) {
  at("preview-format").textContent = "";
  book.disabled = at("preview-outcome").hidden;
  if (!(error instanceof Problem)) {
    say([word((await readable()) ? "offline" : "gone")]);
    return;
  }
  const rules = Object.entries(error.errors).map(([name, said]) => {
    const text = rulesOf(said).join(" ");
    return /^[0-9]+$/.test(name) ? word("line", { line: name, rules: text }) : text;
  });
  say(rules.length ? rules : [error.message]);
}

/** Whether the file is still as it was chosen: browsers refuse to send one that has changed on the disk. */
async function readable() {
  try {
    await file.files[0].slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

function say(lines) {
  told.replaceChildren(...paragraphs(lines.slice(0, ERRORS_MAX)));
}

function show(outcome) {
  const { booked, skipped, refused, accounts, sums, lines } = outcome;
  at("preview-outcome").hidden = false;
  at("preview-title").textContent = word(outcome.preview ? "title" : "title-done");
  at("preview-format").textContent = word("format", {
    name: file.files[0].name,
    format: outcome.format,
    encoding: outcome.encoding,
  });
  at("count-booked").textContent = booked;
  at("called-booked").textContent = word(outcome.preview ? "outcome-booked" : "outcome-done");
  at("count-skipped").textContent = skipped;
  at("count-refused").textContent = refused;
  const moved = Object.entries(sums).map(([currency, sum]) => money(sum, currency));
  at("sums").textContent = moved.length ? word("sum", { sums: moved.join(", ") }) : "";
  const names = accounts.map(({ name, currency }) => `${name} (${currency})`).join(", ");
  at("opened").textContent = names && word(outcome.preview ? "opened" : "was-opened", { accounts: names });
  const rows = lines.flatMap((line) => rowsOf(line));
  at("lines").replaceChildren(...rows.slice(0, ROWS_MAX));
  at("lines").closest(".scrolls").hidden = rows.length === 0;
  const told = (outcome.preview ? booked : 0) + skipped + refused; // of which the answer has the first lines
  const left = told - Math.min(rows.length, ROWS_MAX);
  at("left-out").textContent = left > 0 ? word("left-out", { count: left }) : "";
  at("booking").hidden = !outcome.preview || booked === 0;
  at("partial-label").hidden = refused === 0;
  partial.checked = false;
  allow(refused);
  if (outcome.preview && booked === 0 && refused === 0) say([word("nothing")]);
}

function allow(refused = Number(at("count-refused").textContent)) {
  book.disabled = refused > 0 && !partial.checked;
}

/** The rows of a line of the file: one for each transaction, or one that says why there is none. */
function rowsOf(line) {
  const reason = [line.reason, ...rulesOf(line.errors ?? [])].filter(Boolean).join(" ");
  const transactions = line.transactions?.length ? line.transactions : [null];
  return transactions.map((one) => {
    const row = document.createElement("tr");
    row.className = `is-${line.outcome}`;
    const texts = one
      ? [day(one.date), one.description, one.account ?? "", one.category ?? "", money(one.amount, one.currency)]
      : ["", reason, "", "", ""];
    if (one && reason) texts[1] = `${one.description} – ${reason}`;
    for (const text of [String(line.line), word(`outcome-${line.outcome}`), ...texts]) row.insertCell().textContent = text;
    for (const cell of [row.cells[0], row.cells[6]]) cell.className = "amount";
    return row;
  });
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", () => {
  at("preview-outcome").hidden = true;
  at("see").hidden = true;
  look();
});
partial.addEventListener("change", () => allow());

book.addEventListener("click", () => {
  const mine = ++turn;
  during("booking", async () => {
    const outcome = await send({ preview: false });
    if (mine !== turn) return;
    show(outcome);
    at("see").hidden = outcome.booked === 0;
    const run = () => at("see").click();
    tell(word("done", { count: outcome.booked }), { label: at("see").textContent, run });
    preview.focus();
  });
});

for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    drop.classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => event.relatedTarget === null && drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  if (!event.dataTransfer?.files.length) return;
  event.preventDefault();
  drop.classList.remove("over");
  const chosen = new DataTransfer();
  chosen.items.add(event.dataTransfer.files[0]);
  file.files = chosen.files;
  form.dispatchEvent(new Event("change"));
});
