const TITLE = "Study";
const HISTORY = 200;
const REFRESH = (data) => (data.top ? ["get_study", { study: data.study, limit: HISTORY }] : null);

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
    ...overTrials(data),
    el("h2", {}, "Best trials"),
    bars("the best trials", trials.map((each) => ({ name: `trial ${each.number}`, value: each.value, low: each.std == null ? NaN : each.value - each.std, high: each.std == null ? NaN : each.value + each.std, said: each.std == null ? number(each.value) : `${number(each.value)} ± ${number(each.std)}` }))),
    table("Best trials", ["#trial", "state", "#value", "parameters"], data.top.map((each) => [each.number, state(each.state), number(each.value), params(each.params)])),
    ...importance(data.importance),
  ];
}

// No model needs to read the history: the app asks for it by itself, where the host passes calls on.
const histories = new Map();
const wanted = new Set();
let latest = null;

function history(data) {
  latest = data;
  const until = JSON.stringify([data.study, data.states ?? data.trials]);
  if (data.history) histories.set(data.study, data.history);
  else if (data.study && !wanted.has(until) && callable()) askHistory(data);
  wanted.add(until);
  return histories.get(data.study) ?? [];
}

function askHistory(data) {
  answerOf("get_study", { study: data.study, limit: HISTORY }).then((more) => {
    if (!more?.history?.length) return;
    histories.set(data.study, more.history);
    if (latest === data) drawn(data);
  });
}

function overTrials(data) {
  const tried = history(data);
  const [best, values] = ["best", "value"].map((name) => tried.map((each) => [each.number, each[name]]));
  const picture = curve(`${data.metric ?? "value"} over the trials`, best, values);
  return picture ? [el("h2", {}, "Over the trials"), picture, el("p", { class: "faint" }, "A dot is a trial, the line the best value so far.")] : [];
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
    ...overTrials(data),
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
