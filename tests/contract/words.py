"""What each argument is called, over all tools: one name for one thing of one type."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """`plain` is a name that says all; any other argument is described wherever it stands."""

    kind: str
    meaning: str
    plain: bool = False


def plain(kind: str, meaning: str) -> Word:
    return Word(kind, meaning, plain=True)


TEXT, NUMBER, WHOLE, TRUTH, OBJECT = "string", "number", "integer", "boolean", "object"
TEXTS, OBJECTS, EITHERS = "list of string", "list of object", "list of string | object"

WORDS: dict[str, Word] = {
    # What a call is about: handles and names of things
    "dataset": Word(TEXT, "the rows, by handle, name or path"),
    "reference": Word(TEXT, "the dataset, or the model for its training data, that another is compared with"),
    "current": Word(TEXT, "the dataset that is compared with the reference"),
    "validation": plain(TEXT, "a dataset to score on while training; of get_validation, what validate_dataset made"),
    "test": plain(TEXT, "a dataset that was not seen in training or search"),
    "model": Word(TEXT, "a model: logged, registered or of a run; of log_llm_call, that of the provider"),
    "candidate": Word(TEXT, "one of the models that compete"),
    "candidates": Word(EITHERS, "algorithms, with parameters or without, and models that compete"),
    "run": plain(TEXT, "an MLflow run: what is read, or what is logged into"),
    "runs": Word(TEXTS, "several runs"),
    "experiment": plain(TEXT, "name of an MLflow experiment"),
    "study": plain(TEXT, "an Optuna study"),
    "comparison": Word(TEXT, "what compare_models made"),
    "explanation": Word(TEXT, "what explain_model made"),
    "suite": Word(TEXT, "a suite of rules"),
    "view": Word(TEXT, "a feature view"),
    "views": Word(TEXTS, "several feature views"),
    "feature": Word(TEXT, "one feature of a view"),
    "features": plain(TEXTS, "columns to learn from, or features of views to read"),
    "endpoint": Word(TEXT, "where a model is served"),
    "bento": Word(TEXT, "a packaged model"),
    "job": Word(TEXT, "a job"),
    "trace": Word(TEXT, "a trace"),
    "span": Word(TEXT, "a span of a trace"),
    "parent": Word(TEXT, "the span above"),
    "agent": Word(TEXT, "the agent whose work is traced or judged"),
    "handle": Word(TEXT, "whatever a handle names"),
    "name": plain(TEXT, "what the thing that is made will be called"),
    "version": Word(TEXT, "what the version that is made will be called"),
    "description": plain(TEXT, "a text kept with the thing that is made"),
    "tags": Word(OBJECT, "texts by name, kept with a run, an experiment or a version"),
    "path": Word(TEXT, "a file: here, or inside of a run"),
    "folder": Word(TEXT, "a folder inside of a run"),
    "source": Word(TEXT, "a database of the settings"),
    # Columns and rows
    "target": plain(TEXT, "the column to predict"),
    "columns": Word(TEXTS, "the columns that are looked at or kept"),
    "exclude": plain(TEXTS, "the columns not to learn from"),
    "column": Word(TEXT, "the column to split by"),
    "group": Word(TEXT, "the column whose equal values stay together"),
    "time": Word(TEXT, "the column of a row's time, by which folds are cut"),
    "timestamp_column": Word(TEXT, "the column of a feature's time"),
    "created_timestamp_column": Word(TEXT, "the column of when a feature was recorded"),
    "entity": Word(TEXT, "the key column of a view"),
    "key": Word(TEXT, "the column that names the same row in two datasets"),
    "by": Word(TEXT, "the column to slice by"),
    "split": Word(TEXT, "the value of the column `split`"),
    "row": Word(OBJECT, "one row"),
    "rows": Word(OBJECTS, "some rows"),
    "index": Word(WHOLE, "the number of a row"),
    "n_rows": plain(WHOLE, "how many rows"),
    "row_condition": Word(OBJECTS, "conditions on rows"),
    "where": Word(TEXT, "MLflow's filter of runs"),
    "order_by": Word(TEXT, "MLflow's order of runs"),
    "sql": Word(TEXT, "one SELECT"),
    "options": Word(OBJECT, "how a file is read"),
    "dtype": plain(TEXT, "the type of a feature"),
    "ttl_days": Word(NUMBER, "how long a feature's value holds"),
    "start": Word(TEXT, "the earliest time"),
    "end": Word(TEXT, "the latest time"),
    "full_feature_names": Word(TRUTH, "whether features carry the name of their view"),
    "strategy": plain(TEXT, "how rows are split"),
    "validation_share": plain(NUMBER, "the share of rows for validation"),
    "test_share": plain(NUMBER, "the share of rows for the test"),
    # Learning and judging
    "algorithm": plain(TEXT, "what learns"),
    "params": plain(OBJECT, "parameters by name"),
    "search_space": Word(OBJECT, "ranges of parameters by name"),
    "task": plain(TEXT, "classification or regression, or another kind of problem of the settings"),
    "metric": Word(TEXT, "a number that judges, by name"),
    "metrics": Word(OBJECT, "numbers by name"),
    "scoring_metrics": Word(EITHERS, "Opik's metrics of answers"),
    "positive": Word(TEXT, "the class that counts as positive"),
    "label": Word(TEXT, "the class that is explained"),
    "folds": plain(WHOLE, "folds of cross-validation"),
    "repeats": plain(WHOLE, "repeats of cross-validation"),
    "n_trials": plain(WHOLE, "how many trials of a search"),
    "seed": plain(WHOLE, "what makes chance repeatable"),
    "refit": plain(TRUTH, "whether the best is trained on all rows"),
    "min_gain": Word(NUMBER, "what a candidate has to gain"),
    "gates": Word(TEXTS, "what a candidate has to pass"),
    "show": Word(TEXTS, "parts of an evaluation"),
    "at": Word(OBJECT, "where a classifier is cut"),
    "log": Word(TRUTH, "whether scores are logged"),
    "plot": Word(TRUTH, "whether a picture is added"),
    "check": Word(TRUTH, "whether a model is loaded and predicts"),
    "classes": Word(TEXTS, "the classes of a model, in the order of its scores"),
    "preprocessor": Word(TEXT, "the transformer before a model"),
    # Effects
    "treatment": plain(TEXT, "the column of what was done"),
    "outcome": plain(TEXT, "the column of what came of it"),
    "controls": Word(TEXTS, "the columns that confound"),
    "effect_modifiers": Word(TEXTS, "the columns an effect varies with"),
    "segments": Word(TEXTS, "the columns whose values an effect is shown for"),
    "cluster": Word(TEXT, "the column of units that were treated together"),
    "control": Word(TEXT, "the untreated value"),
    "estimand": Word(TEXT, "whose effect: of all, of the treated, of a unit more"),
    "randomised": plain(TRUTH, "whether chance decided on the treatment"),
    "refute": plain(TRUTH, "whether the effect is put to the test"),
    "effect": Word(OBJECT, "the question whose models are tuned"),
    # Rules
    "expectations": plain(OBJECTS, "rules of a suite"),
    "rule": Word(WHOLE, "the number of a rule"),
    # Serving and the registry
    "replicas": plain(WHOLE, "processes of an endpoint"),
    "resources": Word(OBJECT, "what a process may use"),
    "export": Word(TEXT, "what export_deployment wrote"),
    "withdraw": Word(TRUTH, "whether an export is taken away where it was applied"),
    "platform": plain(TEXT, "what a deployment is exported for"),
    "traffic": Word(OBJECT, "the percentages of calls by bento or model"),
    "percent": Word(WHOLE, "a share of calls"),
    "log_sample": Word(NUMBER, "how much of what an endpoint is asked is logged"),
    "canary": plain(OBJECT, "how a new bento proves itself before it gets all calls"),
    "shadow": Word(TRUTH, "whether a bento gets copies of calls only"),
    "batchable": Word(TRUTH, "whether concurrent requests are predicted together"),
    "stage": plain(TEXT, "a stage of the registry"),
    "stages": Word(TEXTS, "stages in the order they are looked at"),
    "archive_existing": Word(TRUTH, "whether those there are archived"),
    # Traces
    "input": plain(OBJECT, "what work began with"),
    "output": plain(OBJECT, "what came of work"),
    "metadata": plain(OBJECT, "what else is known of a span"),
    "error": plain(TEXT, "what went wrong"),
    "status": plain(TEXT, "how something ended"),
    "state": plain(TEXT, "where a job stands"),
    "errors_only": plain(TRUTH, "whether only failures are listed"),
    "prompt": plain(TEXT, "what a language model was asked"),
    "response": plain(TEXT, "what a language model answered"),
    "provider": plain(TEXT, "whose language model"),
    "input_tokens": plain(WHOLE, "tokens of the prompt"),
    "output_tokens": plain(WHOLE, "tokens of the response"),
    "seconds": plain(NUMBER, "how long a call took"),
    "value": plain(NUMBER, "the number"),
    "as_score": plain(TRUTH, "whether the number judges"),
    "score": plain(NUMBER, "the judgement"),
    "reason": plain(TEXT, "why it was judged so"),
    "feedback_type": Word(TEXT, "what is judged"),
    "test_cases": plain(OBJECTS, "questions, answers and what was expected"),
    "step": plain(WHOLE, "the step of a training"),
    # How much, how long, how
    "limit": plain(WHOLE, "how many at most"),
    "cursor": Word(TEXT, "where the page before ended"),
    "offset": Word(WHOLE, "what is skipped"),
    "search": Word(TEXT, "a part of what is looked for"),
    "names": Word(TEXTS, "those that are shown in full"),
    "kind": plain(TEXT, "which kind of it is made"),
    "detail": Word(TEXT, "short or full"),
    "wait_s": Word(NUMBER, "how long to wait for the result"),
    "budget_s": Word(NUMBER, "seconds a job may take"),
    "budget_mb": Word(WHOLE, "memory a job may take"),
    "idempotency_key": Word(TEXT, "what makes a repeated call the same call"),
    "dry_run": Word(TRUTH, "whether it is only shown"),
    "restore": Word(TRUTH, "whether it is brought back"),
    "older_than_days": plain(NUMBER, "the age of what goes"),
}

# (tool, argument) -> its type there, where it has a reason to differ.
OF_ANOTHER_TYPE = {("delete", "handle"): "string | list of string"}  # several things go at once
