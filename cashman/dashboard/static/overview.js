/** Another period, currency or category is shown in place, and so is what was booked just now; without this script the
 * same links load the same pages. */

import { animate } from "./charts.js";

const PLACE = "overview";
let asked = 0;
let here = location.search;

/** Show what the page of a URL shows, where this page shows its own; where that fails, go there. */
async function show(url, { remember = false, focus = null } = {}) {
  const own = ++asked;
  const place = document.getElementById(PLACE);
  place.setAttribute("aria-busy", "true");
  let found = null;
  try {
    const response = await fetch(url, { headers: { Accept: "text/html" } });
    if (response.ok && !response.redirected) {
      found = new DOMParser().parseFromString(await response.text(), "text/html").getElementById(PLACE);
    }
  } catch {
    // It is told by the browser itself, where the link leads.
  }
  if (own !== asked) return; // somebody has clicked on
  if (!found) {
    location.assign(url);
    return;
  }
  const tables = found.querySelectorAll(".card details");
  place.querySelectorAll(".card details").forEach((old, which) => old.open && tables[which]?.setAttribute("open", ""));
  place.replaceWith(found);
  animate(found);
  if (remember) history.pushState(null, "", url);
  here = location.search;
  if (focus) found.querySelector(focus)?.focus();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.(`#${PLACE} a[data-shown]`);
  if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const into = ["into", "up", "all"].includes(link.dataset.shown);
  const again = `[data-shown="${CSS.escape(link.dataset.shown)}"]`;
  show(link.href, { remember: true, focus: into ? "#category-shown, #spending-title" : again });
});

addEventListener("popstate", () => {
  if (location.search === here) return; // only the place on the page is another one
  here = location.search;
  show(location.href);
});
document.addEventListener("cashman:changed", () => show(location.href));
animate(document);
