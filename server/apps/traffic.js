const TITLE = "Endpoint traffic";
const REFRESH = (data) => ["get_endpoint", { endpoint: data.endpoint }];

function show(data) {
  const calls = data.versions.map((each) => ({ name: each.bento.replace(/^bento:/, ""), value: each.requests, said: `${each.requests} calls, ${each.errors} failed`, bad: each.errors > 0 }));
  const shares = data.versions.map((each) => ({ name: each.bento.replace(/^bento:/, ""), value: each.shadow ? 0 : each.percent, said: each.shadow ? "shadow" : `${each.percent} %` }));
  return [
    facts([["endpoint", data.endpoint], ["state", state(data.state)], ["address", data.url], ["a rollback brings", data.rollback_to]]),
    el("h2", {}, "Share of the calls"),
    bars("share of the calls", shares),
    el("h2", {}, "Calls"),
    bars("calls of each version", calls) ?? el("p", { class: "faint" }, "Nobody has called yet."),
    table("Versions", ["bento", "state", "model", "#%", "#calls", "#failed", "#p50 ms", "#p99 ms", "#MB"], data.versions.map((each) => [each.bento, state(each.state), each.model, each.shadow ? "shadow" : each.percent, each.requests, each.errors, number(each.p50_ms), number(each.p99_ms), each.memory_mb])),
    ...(data.events?.length ? [table("Events", ["when", "what"], data.events.slice(-20).reverse().map((each) => [each.at, each.what]))] : []),
  ];
}
