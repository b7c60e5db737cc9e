(() => {
  const nearest = (times, time) => {
    let low = 0, high = times.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (times[middle] > time) high = middle; else low = middle;
    }
    return time - times[low] > times[high] - time ? high : low;
  };
  const words = (line, value) => value === null ? "–" : value.toLocaleString("en-US", {
    minimumFractionDigits: line.decimals, maximumFractionDigits: line.decimals,
  }).replace("-", "\u2212") + (line.percent ? "%" : "");
  const place = (line, value) => line.log
    ? Math.log(line.high / value) / Math.log(line.high / line.low)
    : (line.high - value) / (line.high - line.low);

  const read = stack => {
    const data = JSON.parse(document.getElementById(stack.dataset.source).textContent);
    const plot = stack.querySelector(".plot");
    const rest = new Map([...stack.querySelectorAll("[data-line]")].map(node => [node, node.textContent]));
    const cross = stack.querySelector(".cross");
    let at = -1;

    const show = index => {
      at = index;
      const share = (data.time[index] - data.start) / (data.end - data.start);
      cross.style.left = share * plot.getBoundingClientRect().width + "px";
      cross.classList.toggle("flip", share > 0.5);
      cross.firstElementChild.textContent =
        new Date(data.time[index] * 1000).toISOString().slice(0, 16).replace("T", " ") + " UTC";
      for (const node of rest.keys()) {
        const line = data.lines[node.dataset.line];
        node.textContent = words(line, line.values[index]);
      }
      for (const dot of stack.querySelectorAll("[data-dot]")) {
        const line = data.lines[dot.dataset.dot], value = line.values[index];
        dot.style.display = value === null ? "none" : "inline";
        if (value === null) continue;
        dot.setAttribute("cx", share * 100 + "%");
        dot.setAttribute("cy", place(line, line.percent ? value / 100 : value) * dot.ownerSVGElement.dataset.height);
      }
      stack.classList.add("reading");
    };
    const leave = () => {
      at = -1;
      stack.classList.remove("reading");
      rest.forEach((text, node) => { node.textContent = text; });
    };
    const point = event => {
      const box = plot.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      if (share < -0.01 || share > 1.01) return leave();
      show(nearest(data.time, data.start + share * (data.end - data.start)));
    };
    stack.addEventListener("pointermove", point);
    stack.addEventListener("pointerdown", point);
    stack.addEventListener("pointerleave", leave);
    stack.addEventListener("blur", leave);
    stack.addEventListener("keydown", event => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -24, PageDown: 24 }[event.key];
      if (event.key === "Escape") return leave();
      if (!step) return;
      event.preventDefault();
      const last = data.time.length - 1;
      show(Math.min(Math.max(at < 0 ? last : at + step, 0), last));
    });
  };
  document.querySelectorAll(".charts").forEach(read);

  for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => row.cells[head.cellIndex].dataset.by;
    const order = (a, b) => isNaN(key(a)) && isNaN(key(b)) ? key(a).localeCompare(key(b)) : key(a) - key(b);
    body.append(...[...body.rows].sort((a, b) => down ? order(b, a) : order(a, b)));
  });
})();
