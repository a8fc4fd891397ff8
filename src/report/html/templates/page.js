"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, index) => {
    const cell = row.cells[index];
    return "n" in cell.dataset ? Number(cell.dataset.n) : cell.textContent;
  };
  heads.forEach((head, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numbers = head.classList.contains("n");
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : numbers;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (a, b) => {
        const [x, y] = [value(a, index), value(b, index)];
        if (typeof x === "number" && typeof y === "number") return x - y;
        return String(x).localeCompare(String(y), undefined, { numeric: true });
      };
      const rows = [...body.rows].sort((a, b) => (down ? -order(a, b) : order(a, b)));
      body.append(...rows);
    });
  });
}
for (const search of document.querySelectorAll(".search")) {
  const input = search.querySelector("input");
  const output = search.querySelector("output");
  const rows = [...document.getElementById(input.dataset.table).tBodies[0].rows];
  search.hidden = false;
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    output.textContent = input.value ? `${shown} of ${rows.length}` : "";
  });
}
