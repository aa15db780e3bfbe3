// How does a figure get its colours? The server sends roles, this file paints them with the tokens,
// again on every change of theme, and loads plotly only where a chart stands.
(() => {
  const HATCHED = new Set(["fc", "unserved"]);
  const loading = new Map();

  const load = (source) => {
    if (window.Plotly) return Promise.resolve();
    if (!loading.has(source)) {
      loading.set(
        source,
        new Promise((done, failed) => {
          const script = document.createElement("script");
          script.src = source;
          script.onload = done;
          script.onerror = failed;
          document.head.append(script);
        }),
      );
    }
    return loading.get(source);
  };

  // A custom property keeps its light-dark() text; a probe's colour is what the eye gets.
  const palette = () => {
    const probe = document.createElement("span");
    probe.hidden = true;
    document.body.append(probe);
    const cache = new Map();
    const colour = (name) => {
      if (!cache.has(name)) {
        probe.style.color = `var(--${name})`;
        const text = getComputedStyle(probe).color;
        const parts = text.match(/^color\(srgb ([\d.]+) ([\d.]+) ([\d.]+)/);
        cache.set(
          name,
          parts ? `rgb(${parts.slice(1).map((each) => Math.round(each * 255)).join(",")})` : text,
        );
      }
      return cache.get(name);
    };
    return { colour, done: () => probe.remove() };
  };

  const NAMES = {
    pl: "ac", fc: "ac", demand: "ink-2", unserved: "adverse", cap: "ink", neutral: "ink-3",
    other: "py", band: "accent-tint",
  };
  const token = (role) => NAMES[role] ?? role ?? "ac";

  const paintBar = (trace, role, tones, colour) => {
    const ink = colour(token(role));
    const marker = { ...trace.marker, line: { width: 0, ...trace.marker?.line } };
    if (tones) marker.color = tones.map((tone) => colour(token(tone)));
    else if (role === "pl") Object.assign(marker, { color: "rgba(0,0,0,0)", line: { width: 1.4, color: ink } });
    else if (HATCHED.has(role)) {
      marker.color = colour("surface");
      marker.pattern = { shape: "/", fgcolor: ink, bgcolor: colour("surface"), size: 5, solidity: 0.32 };
      marker.line = { width: 1.2, color: ink };
    } else marker.color = ink;
    return { constraintext: "none", cliponaxis: false, ...trace, marker, textfont: { color: colour("ink-2"), size: 11, ...trace.textfont } };
  };

  const paintLine = (trace, role, colour) => {
    const ink = colour(token(role));
    const dashed = role === "fc" || role === "demand";
    const painted = { ...trace };
    if (role === "band") {
      Object.assign(painted, { fillcolor: ink, line: { width: 0, color: ink }, hoverinfo: "skip" });
    } else {
      painted.line = { width: role === "ac" ? 2 : 1.5, color: ink, ...(dashed ? { dash: "dot" } : {}), ...trace.line };
      painted.marker = { size: 5, color: ink, ...trace.marker };
      if (trace.fill) painted.fillcolor = colour("track");
    }
    painted.textfont = { color: ink, size: 11, ...trace.textfont };
    return painted;
  };

  const axis = (given, colour) => ({
    gridcolor: colour("line"), zerolinecolor: colour("line-control"), linecolor: colour("line-2"),
    tickcolor: colour("line-2"), zerolinewidth: 1, gridwidth: 1, ticks: "", automargin: true,
    fixedrange: true, zeroline: false, ...given,
    tickfont: { color: colour("ink-3"), size: 11, ...given?.tickfont },
  });

  const paint = (figure) => {
    const { colour, done } = palette();
    const data = figure.data.map((trace) => {
      const { role, tones } = trace.meta ?? {};
      return trace.type === "bar" ? paintBar(trace, role, tones, colour) : paintLine(trace, role, colour);
    });
    const given = figure.layout ?? {};
    const axes = Object.fromEntries(
      Object.keys({ xaxis: 1, yaxis: 1, ...given })
        .filter((key) => /^[xy]axis\d*$/.test(key))
        .map((key) => [key, axis({ zeroline: key.startsWith("y"), ...given[key] }, colour)]),
    );
    const layout = {
      margin: { l: 8, r: 8, t: 12, b: 8 }, showlegend: false, bargap: 0.38, hovermode: "closest",
      ...given, ...axes, autosize: true, separators: ".,",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 11, color: colour("ink-2") },
      hoverlabel: {
        bgcolor: colour("surface"), bordercolor: colour("line-control"),
        font: { color: colour("ink"), size: 12, family: getComputedStyle(document.body).fontFamily },
      },
      annotations: (given.annotations ?? []).map((note) => ({
        showarrow: false, ...note, font: { size: 11, color: colour(token(note.name ?? "ink-2")), ...note.font },
      })),
      shapes: (given.shapes ?? []).map((shape) => ({
        ...shape, line: { width: 1, ...shape.line, color: colour(token(shape.name ?? "line-control")) },
      })),
    };
    done();
    return { data, layout };
  };

  const draw = async (box) => {
    const source = document.getElementById(box.dataset.chart);
    if (!source) return;
    await load(box.dataset.plotly);
    const { data, layout } = paint(JSON.parse(source.textContent));
    await window.Plotly.react(box, data, layout, {
      displayModeBar: false, responsive: true, showTips: false, doubleClick: false, scrollZoom: false,
    });
    if (box.dataset.drawn) return;
    box.dataset.drawn = "true";
    box.on("plotly_click", (event) => {
      const path = event.points[0]?.customdata;
      // Only paths of this site: a figure never leads elsewhere.
      if (typeof path === "string" && path.startsWith("/") && !path.startsWith("//")) location.assign(path);
    });
  };

  const boxes = (within) => [...within.querySelectorAll("[data-chart]")];
  const start = (within) => boxes(within).filter((box) => !box.dataset.drawn).forEach(draw);
  const again = () => boxes(document).filter((box) => box.dataset.drawn).forEach(draw);

  document.addEventListener("htmx:load", (event) => start(event.target));
  document.addEventListener("o10:appearance", again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => start(document));
  else start(document);
})();
