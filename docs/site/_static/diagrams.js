// Draws each diagram in the colours of the page, and again when the reader changes between light and dark.
const sources = [...document.querySelectorAll("pre.mermaid")].map((box) => [box, box.textContent]);

function dark() {
  const chosen = document.body.dataset.theme;
  return chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
}

async function draw() {
  mermaid.initialize({ startOnLoad: false, theme: dark() ? "dark" : "neutral" });
  for (const [box, text] of sources) {
    box.removeAttribute("data-processed");
    box.textContent = text;
  }
  await mermaid.run({ nodes: sources.map(([box]) => box) });
}

if (sources.length) {
  draw();
  new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
