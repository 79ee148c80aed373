// The page of the API: finding a route, and trying it out. Without this script the page reads the same.

const docs = document.getElementById("docs");
const token = document.getElementById("token");
let description; // the OpenAPI document, asked for at the first try

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// Finding.

function find(words) {
  let found = 0;
  for (const group of docs.querySelectorAll(".group")) {
    let here = 0;
    for (const operation of group.querySelectorAll(".operation")) {
      const text = operation.querySelector("summary").textContent.toLowerCase();
      operation.hidden = !words.every((word) => text.includes(word));
      here += !operation.hidden;
    }
    group.hidden = here === 0;
    found += here;
  }
  const told = document.getElementById("found");
  told.textContent = found === 0 ? told.dataset.none : "";
}

function open_named() {
  const named = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) {
    named.open = true;
    named.scrollIntoView();
  }
}

// What is sent.

const quoted = (text) => (/^[\w./:=?&%@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function parameters_of(form) {
  return [...form.querySelectorAll("input[data-in]")].filter((input) => input.value !== "");
}

function request_of(form) {
  const { method } = form.dataset;
  let { path } = form.dataset;
  const query = new URLSearchParams();
  const headers = {};
  for (const input of parameters_of(form)) {
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
    else if (input.dataset.in === "query") query.append(input.name, input.value);
    else headers[input.name] = input.value;
  }
  const body = form.elements.body.value;
  const has_body = !form.querySelector(".body").hidden;
  if (has_body) headers["Content-Type"] = form.elements.media.value;
  const search = query.size ? `?${query}` : "";
  return { method, url: location.origin + path + search, headers, body: has_body ? body : undefined };
}

function command_of({ method, url, headers, body }) {
  const words = ["curl", "-i"];
  if (method !== "GET") words.push("-X", method);
  if (token.value) words.push('-H "Authorization: Bearer $TOKEN"');
  for (const [name, value] of Object.entries(headers)) words.push("-H", quoted(`${name}: ${value}`));
  if (body !== undefined) words.push("--data-binary", quoted(body));
  return [...words, quoted(url)].join(" ");
}

// A JSON text with line breaks, and every number as it was written: a parser would lose the zeros of 50.00.
function laid_out(text) {
  let depth = 0;
  return text.replace(/"(?:[^"\\]|\\.)*"|\{\s*\}|\[\s*\]|[{}[\],:]|\s+/g, (part) => {
    const broken = () => `\n${"  ".repeat(depth)}`;
    if (/^\s+$/.test(part)) return "";
    if (part === "{" || part === "[") return (depth += 1), part + broken();
    if (part === "}" || part === "]") return (depth -= 1), broken() + part;
    if (part === ",") return part + broken();
    return part === ":" ? ": " : part;
  });
}

async function send(form) {
  const request = request_of(form);
  const headers = new Headers(request.headers);
  if (token.value) headers.set("Authorization", `Bearer ${token.value.trim()}`);
  else headers.set("Cashman-Page", "1"); // so that the session's cookie counts
  const outcome = form.querySelector(".outcome");
  const [status, shown_headers, content] = [".status", ".headers", ".content"].map((name) => outcome.querySelector(name));
  const button = form.querySelector("button[type=submit]");
  outcome.hidden = false;
  status.textContent = "…";
  shown_headers.textContent = content.textContent = "";
  button.disabled = true;
  try {
    const credentials = token.value ? "omit" : "same-origin";
    const { method, body } = request;
    const answer = await fetch(request.url, { method, headers, body, credentials, cache: "no-store" });
    const text = await answer.text();
    status.textContent = `${answer.status} ${answer.statusText}`;
    shown_headers.textContent = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    content.textContent = /json$/.test(answer.headers.get("Content-Type") ?? "") ? laid_out(text) : text;
  } catch {
    status.textContent = status.dataset.failed;
  } finally {
    button.disabled = false;
  }
}

// The form.

function fill_in(form, operation) {
  const fields = form.querySelector(".fields");
  for (const parameter of operation.parameters) {
    const input = element("input", {
      name: parameter.name,
      value: parameter.example ?? "",
      required: parameter.in === "path",
      autocomplete: "off",
      spellcheck: false,
    });
    input.dataset.in = parameter.in;
    const name = element("code", { textContent: parameter.name });
    fields.append(element("p", {}, element("label", {}, name, ` ${parameter.in} `, input)));
  }
  const content = Object.entries(operation.requestBody?.content ?? {}).filter(([, media]) => "example" in media);
  if (content.length === 0) return;
  const media = form.elements.media;
  for (const [type] of content) media.append(element("option", { value: type, textContent: type }));
  form.querySelector(".body").hidden = false;
  form.querySelector(".media").hidden = content.length === 1;
  const show_example = () => {
    const { example } = Object.fromEntries(content)[media.value];
    form.elements.body.value = typeof example === "string" ? example : JSON.stringify(example, null, 2);
  };
  media.addEventListener("change", show_example);
  show_example();
}

async function begin(button) {
  const place = button.closest(".operation");
  description ??= fetch("/openapi.json").then((answer) => answer.json());
  const { method, path } = place.dataset;
  const operation = (await description).paths[path][method.toLowerCase()];
  const form = document.getElementById("trying").content.firstElementChild.cloneNode(true);
  Object.assign(form.dataset, { method, path });
  fill_in(form, operation);
  const command = form.querySelector(".command");
  const show_command = () => (command.textContent = command_of(request_of(form)));
  form.addEventListener("input", show_command);
  form.addEventListener("change", show_command);
  token.addEventListener("input", show_command);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
  form.querySelector(".copy").addEventListener("click", async (event) => {
    await navigator.clipboard.writeText(command.textContent);
    form.querySelector(".copied").textContent = event.target.dataset.copied;
  });
  show_command();
  button.closest(".tries").replaceWith(form);
  form.querySelector("input, textarea, button").focus();
}

document.querySelector(".find").hidden = false;
for (const tries of docs.querySelectorAll(".tries")) tries.hidden = false;
const filter = document.getElementById("filter");
filter.addEventListener("input", () => find(filter.value.toLowerCase().split(/\s+/).filter(Boolean)));
docs.addEventListener("click", (event) => {
  if (event.target.matches(".try")) begin(event.target);
});
addEventListener("hashchange", open_named);
open_named();
