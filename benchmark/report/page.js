"use strict";
// A click on a column's head sorts its table by that column: by number where both cells begin with one, else by text.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const text = row => row.cells[head.cellIndex].textContent.trim();
    const number = t => parseFloat(t.replace(/^[<$]\s*/, "").replace("−", "-"));
    const order = (a, b) => {
      const x = number(a), y = number(b);
      const numbers = Number.isFinite(x) - Number.isFinite(y);
      return numbers || !Number.isFinite(x) ? -numbers || a.localeCompare(b) : x - y;
    };
    [...body.rows].sort((a, b) => (up ? 1 : -1) * order(text(a), text(b))).forEach(row => body.append(row));
  });
}
