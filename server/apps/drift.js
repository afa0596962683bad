const TITLE = "Drift";
const REFRESH = () => null;

function show(data) {
  const measured = data.columns.filter((each) => Number.isFinite(each.distance));
  return [
    facts([["reference", data.reference], ["current", data.current], ["rows", data.rows.map(number).join(" and ")], ["verdict", state(data.verdict)], ["drifted", `${data.drifted} of ${data.compared} columns`], ["told apart with AUC", estimate(data.two_sample)]]),
    bars("distance of each column, from 0 to 1", measured.map((each) => ({ name: each.column, value: each.distance, bad: each.verdict === "drifted" }))),
    table("Columns", ["column", "verdict", "#distance", "#p", "#PSI", "missing", "what changed"], data.columns.map((each) => [each.column, state(each.verdict), number(each.distance), number(each.p), number(each.psi), pair(each.missing), each.change ?? each.reason ?? ""])),
    ...named("Columns that are new", data.added),
    ...named("Columns that are gone", data.lost),
  ];
}

function pair(of) {
  return of ? of.map(number).join(" → ") : "-";
}

function named(title, names) {
  return names?.length ? [el("h2", {}, title), el("p", {}, names.slice(0, MOST).map((each) => cut(each)).join(", "))] : [];
}
