/** Charts tell their values on hover and on focus; the arrow keys go from column to column, and Tab past them. */

/** Bring the charts below an element to life. */
export function animate(root) {
  for (const chart of root.querySelectorAll("[data-chart]")) listen(chart);
}

function listen(chart) {
  const readout = chart.querySelector("[data-readout]");
  const columns = [...chart.querySelectorAll(".column")];
  const tell = (column) => {
    readout.textContent = column ? column.getAttribute("aria-label") : "";
  };
  const reach = (column) => {
    for (const other of columns) other.setAttribute("tabindex", other === column ? "0" : "-1");
  };
  columns.forEach((column, place) => {
    column.querySelector("title").remove(); // the readout says it, at once
    column.addEventListener("pointerenter", () => tell(column));
    column.addEventListener("pointerleave", () => tell(columns.find((one) => one === document.activeElement)));
    column.addEventListener("focus", () => {
      reach(column);
      tell(column);
    });
    column.addEventListener("blur", () => tell());
    column.addEventListener("keydown", (event) => {
      const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: columns.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      columns[Math.min(Math.max(to, 0), columns.length - 1)].focus();
    });
  });
  if (columns.length) reach(columns.at(-1));
}
