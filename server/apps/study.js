const TITLE = "Study";
const REFRESH = (data) => (data.top ? ["get_study", { study: data.study }] : null);

function show(data) {
  return data.top ? stored(data) : finished(data);
}

function stored(data) {
  const total = Object.values(data.states).reduce((sum, each) => sum + each, 0);
  const trials = data.top.filter((each) => Number.isFinite(each.value));
  return [
    facts([["study", data.study], ["algorithm", data.algorithm], ["metric", data.metric], ["direction", data.direction]]),
    el("h2", {}, "Trials"),
    bars("trials by state", Object.entries(data.states).map(([name, value]) => ({ name, value, bad: name === "fail", said: `${value} of ${total}` }))),
    el("h2", {}, "Best trials"),
    bars("the best trials", trials.map((each) => ({ name: `trial ${each.number}`, value: each.value, low: each.std == null ? NaN : each.value - each.std, high: each.std == null ? NaN : each.value + each.std, said: each.std == null ? number(each.value) : `${number(each.value)} ± ${number(each.std)}` }))),
    table("Best trials", ["#trial", "state", "#value", "parameters"], data.top.map((each) => [each.number, state(each.state), number(each.value), params(each.params)])),
    ...importance(data.importance),
  ];
}

function finished(data) {
  return [
    facts([
      ["study", data.study], ["algorithm", data.algorithm], ["metric", `${data.metric}, ${data.direction}`],
      ["scored on", data.scored_on], ["best", data.score ? estimate(data.score) : number(data.best_value)],
      ["less its optimism", number(data.corrected_value)], ["own parameters", number(data.default_value)],
      ["on rows it was not chosen by", data.test ? estimate(data.test) : null],
      ["verdict", data.score ? state(data.score.verdict) : null],
      ["trials", `${data.trials} complete, ${data.pruned} pruned, ${data.failed} failed`], ["model", data.model], ["run", data.run],
    ]),
    table("Best parameters", ["parameter", "value"], Object.entries(data.best_params).map(([name, value]) => [name, number(value)])),
    ...importance(data.importance),
  ];
}

function importance(given) {
  const drawn = bars("importance of the parameters", Object.entries(given ?? {}).map(([name, value]) => ({ name, value })));
  return drawn ? [el("h2", {}, "Importance of the parameters"), drawn] : [];
}

function params(given) {
  return Object.entries(given).map(([name, value]) => `${name} ${number(value)}`).join(", ");
}
