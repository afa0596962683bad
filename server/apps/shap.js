const TITLE = "SHAP explanation";
const REFRESH = () => null;

function show(data) {
  return data.importances ? overall(data) : single(data);
}

function overall(data) {
  return [
    facts([["model", data.model], ["dataset", data.dataset], ["rows", number(data.rows)], ["class", data.label ?? "all"], ["unit", data.unit], ["explainer", data.explainer]]),
    bars("share of all mean absolute SHAP values", data.importances.map((each) => ({ name: each.feature, value: each.share, said: `${(100 * each.share).toFixed(1)} %` }))),
    table("Importances", ["feature", "#share", `#mean |SHAP|`, "#direction"], data.importances.map((each) => [each.feature, number(each.share), number(each.mean_abs), number(each.direction)])),
    ...rest(data.omitted),
  ];
}

function single(data) {
  return [
    facts([["model", data.model], ["row", data.row], ["predicted", data.predicted], ["class", data.label], ["answer", `${number(data.answer)} (${data.answer_unit})`], ["starts from", `${number(data.base_value)} (${data.unit})`], ["adds up to", number(data.margin)]]),
    bars("contributions to this answer", data.contributions.map((each) => ({ name: each.feature, value: each.contribution, bad: each.contribution < 0 }))),
    table("Contributions", ["feature", "value", "#contribution"], data.contributions.map((each) => [each.feature, number(each.value), number(each.contribution)])),
    ...rest(data.omitted),
  ];
}

function rest(omitted) {
  return omitted ? [el("p", { class: "faint" }, `${omitted} smaller ones are not shown.`)] : [];
}
