/** The list of transactions: found as one types, endless, changed in place, voided with undo, each with its history. */
import { ask, reasonOf, rulesOf, tell, word, Problem } from "./page.js";

const PAUSE = 250;
const ROWS = 50;
const ROWS_MAX = 1000;
const form = document.getElementById("filters");
const history_ = document.getElementById("history");
let fetching = null;
let waiting = 0;
let here = location.search;

// Finding.

/** Where the list is that the form asks for, without what is blank; an amount as the API takes it. */
function wanted() {
  const asked = [...new FormData(form)].filter(([, value]) => value.trim());
  const meaning = asked.map(([name, value]) => [name, name.endsWith("_amount") && !DIGITS.test(value) ? plain(value) : value]);
  const query = new URLSearchParams(meaning).toString();
  return form.getAttribute("action") + (query && `?${query}`);
}

async function pageAt(url, signal) {
  const answer = await fetch(url, { headers: { Accept: "text/html" }, signal });
  if (answer.status === 401 || answer.redirected) location.assign(url); // to sign in, and back
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (!page.getElementById("results")) throw new Error(`no list at ${url}`);
  return page;
}

/** Put the list of a URL in place of the one that is shown. */
async function showList(url, { history: how = "none", filters = false } = {}) {
  clearTimeout(waiting);
  fetching?.abort();
  const mine = (fetching = new AbortController());
  const results = document.getElementById("results");
  results.setAttribute("aria-busy", "true");
  try {
    const page = await pageAt(url, mine.signal);
    if (how === "push") history.pushState(null, "", url);
    if (how === "replace") history.replaceState(null, "", url);
    if (filters) form.replaceChildren(...page.getElementById("filters").childNodes);
    else copyErrors(page);
    const open = document.querySelectorAll("#rows tr.edited");
    results.replaceChildren(...page.getElementById("results").childNodes);
    for (const place of open) putUnder(rowOf(place.dataset.of), place);
    here = location.search;
    awaken();
    const count = document.querySelectorAll("#rows tr[data-id]").length;
    document.getElementById("counted").textContent = word("found", { count });
  } catch (error) {
    if (!mine.signal.aborted) tell(word("offline"), { label: word("try-again"), run: () => showList(url, { history: how }) });
  } finally {
    if (fetching === mine) results.removeAttribute("aria-busy");
  }
}

/** Show the list as it is now, as far down as it was read. */
function refresh() {
  const url = new URL(location.href);
  const count = document.querySelectorAll("#rows tr[data-id]").length;
  url.searchParams.set("limit", Math.min(Math.max(Math.ceil(count / ROWS), 1) * ROWS, ROWS_MAX));
  return showList(url.href);
}

/** What is wrong with a filter, beside its field, without touching what is typed. */
function copyErrors(page) {
  for (const field of form.elements) {
    if (!field.name || !field.id) continue;
    const theirs = page.getElementById(field.id);
    field.parentElement.querySelector(".error")?.remove();
    const error = theirs?.parentElement.querySelector(".error");
    for (const name of ["aria-invalid", "aria-describedby"]) {
      if (theirs?.hasAttribute(name)) field.setAttribute(name, theirs.getAttribute(name));
      else field.removeAttribute(name);
    }
    if (error) field.after(error);
  }
}

form.addEventListener("input", (event) => {
  if (event.target.type === "search" || event.target.type === "text") {
    clearTimeout(waiting);
    waiting = setTimeout(() => showList(wanted(), { history: "replace" }), PAUSE);
  }
});
form.addEventListener("change", (event) => {
  if (event.target.type !== "search") showList(wanted(), { history: "push" });
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  showList(wanted(), { history: "push" });
});
window.addEventListener("popstate", () => {
  if (location.search === here) return; // only the place on the page is another one
  here = location.search;
  showList(location.href, { filters: true });
});
document.addEventListener("cashman:changed", refresh);

// The next page, when it comes into sight.

const sight = new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) showMore();
}, { rootMargin: "400px" });

async function showMore({ focus = false } = {}) {
  const more = document.getElementById("more");
  if (!more || more.getAttribute("aria-busy")) return;
  sight.disconnect();
  more.setAttribute("aria-busy", "true");
  const label = more.textContent;
  more.textContent = word("loading");
  try {
    const page = await pageAt(more.href);
    if (!more.isConnected) return; // another list stands there now
    const rows = [...(page.getElementById("rows")?.children ?? [])];
    document.getElementById("rows").append(...rows);
    const next = page.getElementById("more");
    if (next) more.replaceWith(next);
    else more.parentElement.remove();
    awaken();
    if (focus) rows[0]?.querySelector("a").focus();
  } catch {
    more.textContent = label;
    more.removeAttribute("aria-busy");
    tell(word("offline"));
  }
}

/** Let what needs scripts be used, and hide what only serves without them. */
function awaken() {
  form.querySelector('[type="submit"]').hidden = true;
  document.getElementById("clear-filters").hidden = !wanted().includes("?");
  for (const button of document.querySelectorAll("#rows button:disabled")) button.disabled = false;
  const more = document.getElementById("more");
  if (more) sight.observe(more);
}

// What is done to one.

document.getElementById("results").addEventListener("click", async (event) => {
  if (event.target.id === "more") {
    event.preventDefault();
    showMore({ focus: true });
    return;
  }
  const does = event.target.closest("[data-do]")?.dataset.do;
  const row = event.target.closest("tr[data-id]");
  if (!does || !row || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if ("busy" in row.dataset) return; // a second click of the same
  row.dataset.busy = "";
  const done = { history: showHistory, edit, void: voidOne, book: bookOne }[does](row);
  await done.finally(() => delete row.dataset.busy);
});

async function showHistory(row) {
  const link = row.querySelector('[data-do="history"]');
  const place = document.getElementById("history-text");
  place.textContent = word("loading");
  history_.showModal();
  try {
    const answer = await fetch(link.href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.getElementById("history-title").textContent = page.querySelector("h1").textContent;
    place.replaceChildren(page.getElementById("about"));
  } catch {
    place.textContent = word("offline");
  }
}

function reason(error) {
  return reasonOf(error, word("offline"));
}

/** The rows that go and come together. */
function together(row) {
  return row.dataset.group ? [...document.querySelectorAll(`#rows tr[data-group="${row.dataset.group}"]`)] : [row];
}

async function voidOne(row) {
  const path = `/transactions/${row.dataset.id}`;
  const description = row.querySelector('[data-do="history"]').textContent;
  const next = together(row).at(-1).nextElementSibling ?? row.previousElementSibling;
  try {
    await ask("DELETE", path, { headers: { "If-Match": row.dataset.etag } });
  } catch (error) {
    await refused(error);
    return;
  }
  for (const gone of together(row)) gone.remove();
  const back = next?.querySelector('[data-do="void"]') ?? document.getElementById("results");
  tell(word("voided", { description }), { label: word("undo"), run: () => restore(path, row.dataset.id) });
  const undo = document.querySelector("#told button");
  undo?.addEventListener("keydown", (event) => event.key === "Escape" && back.focus());
  undo?.focus();
}

async function restore(path, id) {
  try {
    await ask("POST", `${path}/restore`);
    await refresh();
    tell(word("restored"));
  } catch (error) {
    tell(reason(error));
  }
  focusRow(id);
}

async function bookOne(row) {
  const headers = { "If-Match": row.dataset.etag };
  try {
    await ask("PATCH", `/transactions/${row.dataset.id}`, { body: { status: "posted" }, headers });
    await refresh();
    tell(word("booked"));
  } catch (error) {
    await refused(error);
  }
  focusRow(row.dataset.id);
}

/** What could not be done because the list was old, or for another reason. */
async function refused(error) {
  if (error instanceof Problem && [404, 412].includes(error.status)) {
    await refresh();
    tell(word("stale-row"));
  } else {
    tell(reason(error));
  }
}

function rowOf(id) {
  return document.getElementById(`t-${id}`);
}

function focusRow(id) {
  (rowOf(id)?.querySelector('[data-do="edit"]') ?? document.getElementById("results")).focus();
}

// Changing one in place.

const DIGITS = /^\d+(\.\d+)?$/;
const comma = (1.1).toLocaleString(document.documentElement.lang).includes(",");

/** A number as people write it, as the API takes it; what is none stays as it is, and the API says so. */
function plain(text) {
  for (const [group, point] of comma ? [[".", ","], [",", "."]] : [[",", "."], [".", ","]]) {
    const written = new RegExp(`^(-?)([1-9]\\d{0,2}(?:[${group}'’\\s]\\d{3})+|\\d+)?(?:[${point}](\\d+))?$`);
    const found = text.trim().match(written);
    if (found && (found[2] || found[3])) {
      return found[1] + (found[2] ?? "0").replace(/\D/g, "") + (found[3] ? `.${found[3]}` : "");
    }
  }
  return text;
}

function shownAs(one) {
  const amount = String(Math.abs(one.amount)).replace(".", comma ? "," : ".");
  return { ...one, amount, tags: one.tags.join(", "), category: one.category ?? "", payee: one.payee ?? "", notes: one.notes ?? "" };
}

/** The value of a field as the API takes it. */
function meant(name, value) {
  if (name === "amount") return plain(value);
  if (name === "tags") return [...new Set(value.split(",").map((tag) => tag.trim()).filter(Boolean))];
  return ["category", "payee", "notes"].includes(name) && !value.trim() ? null : value;
}

async function fetchOne(id) {
  const answer = await ask("GET", `/transactions/${id}`);
  return [shownAs(await answer.json()), answer.headers.get("ETag")];
}

/** Let what is typed stand in place of a row, also when the list around it is shown anew. */
function putUnder(row, place) {
  row?.after(place);
  if (row) row.hidden = true;
}

async function edit(row) {
  const { id, type } = row.dataset;
  let one, etag;
  try {
    [one, etag] = await fetchOne(id);
  } catch (error) {
    await refused(error);
    return;
  }
  const place = document.createElement("tr");
  const cell = place.insertCell();
  cell.colSpan = row.cells.length;
  cell.append(document.getElementById("editing").content.cloneNode(true));
  place.className = "edited";
  place.dataset.of = id;
  const fields = cell.querySelector("form").elements;
  const names = Object.keys(one).filter((name) => fields[name]);
  for (const name of names) {
    if (name === "account" && ![...fields.account.options].some((option) => option.value === one.account)) {
      fields.account.add(new Option(one.account)); // a closed one
    }
    fields[name].value = one[name];
    fields[name].disabled = type === "TRANSFER" && ["amount", "account", "category"].includes(name);
  }
  putUnder(rowOf(id), place);
  fields.description.focus();
  const close = () => {
    place.remove();
    rowOf(id)?.toggleAttribute("hidden", false);
    focusRow(id);
  };
  cell.querySelector('[data-do="cancel"]').addEventListener("click", close);
  cell.addEventListener("keydown", (event) => event.key === "Escape" && close());
  cell.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const changed = names.filter((name) => !fields[name].disabled && fields[name].value !== one[name]);
    if (!changed.length) return close();
    for (const note of cell.querySelectorAll(".note")) note.remove();
    for (const name of names) fields[name].removeAttribute("aria-invalid");
    const body = Object.fromEntries(changed.map((name) => [name, meant(name, fields[name].value)]));
    try {
      await ask("PATCH", `/transactions/${id}`, { body, headers: { "If-Match": etag } });
    } catch (error) {
      if (error instanceof Problem && error.status === 412) [one, etag] = await stale(cell, fields, names, one, id, etag);
      else explain(cell, fields, error);
      return;
    }
    place.remove();
    await refresh();
    tell(word("saved"));
    focusRow(id);
  });
}

/** Say that it was changed elsewhere, and show beside each field what is there now; what was typed stays. */
async function stale(cell, fields, names, before, id, etag) {
  let now, tag;
  try {
    [now, tag] = await fetchOne(id);
  } catch (error) {
    explain(cell, fields, error);
    return [before, etag];
  }
  cell.querySelector("[data-told]").textContent = word("stale");
  for (const name of names) {
    if (now[name] === before[name]) continue;
    if (fields[name].value === before[name]) fields[name].value = now[name];
    else note(fields[name], word("now", { value: now[name] || word("nothing") }));
  }
  return [now, tag];
}

function note(field, text, wrong = false) {
  const said = document.createElement("span");
  said.className = `note ${wrong ? "error" : "quiet small"}`;
  said.textContent = text;
  field.after(said);
}

function explain(cell, fields, error) {
  const told = cell.querySelector("[data-told]");
  told.textContent = "";
  const rules = error instanceof Problem ? Object.entries(error.errors) : [];
  const elsewhere = rules.filter(([name]) => !fields[name]).flatMap(([, said]) => rulesOf(said));
  for (const [name, said] of rules) {
    if (!fields[name]) continue;
    fields[name].setAttribute("aria-invalid", "true");
    note(fields[name], rulesOf(said).join(" "), true);
  }
  told.textContent = elsewhere.join(" ") || (rules.length ? error.title : reason(error));
  cell.querySelector('[aria-invalid="true"]')?.focus();
}

awaken();
