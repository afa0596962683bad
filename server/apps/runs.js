const TITLE = "Run comparison";
const REFRESH = () => null;

function show(data) {
  const names = data.runs.map((run, at) => cut(data.names[at] || run, 40));
  const rows = (values) => Object.entries(values ?? {}).map(([name, each]) => [name, ...each.map(number)]);
  const metrics = Object.entries(data.metrics ?? {});
  const pictures = metrics.slice(0, 6).map(([name, values]) => bars(name, values.map((value, at) => ({ name: names[at], value }))));
  return [
    facts([["same data", told(data.same_data)], ["same versions", told(data.same_versions)]]),
    ...pictures.flatMap((each, at) => (each ? [el("h2", {}, metrics[at][0]), each] : [])),
    table("Metrics", ["metric", ...names.map((each) => `#${each}`)], rows(data.metrics)),
    table("Parameters that differ", ["parameter", ...names], rows(data.params)),
    table("Runs", ["run", "status", "data"], data.runs.map((run, at) => [run, state(data.status[at]), data.data[at] ?? "-"])),
  ];
}

function told(value) {
  return value === null || value === undefined ? "cannot be told" : value ? "yes" : "no";
}
