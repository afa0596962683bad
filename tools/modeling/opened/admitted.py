"""What a model file may hold: the closed list of (node of skops, class) that our own pipelines are made of.

skops trusts every estimator of scikit-learn, of which some open files (`CountVectorizer(input="filename")`) or call
what they are given. Here nothing is trusted that no algorithm of ours needs; a test holds that this list is just that.
"""

from __future__ import annotations

PLAIN = frozenset(
    {
        ("BytearrayNode", "builtins.bytearray"),
        ("DTypeNode", "numpy.dtype"),
        ("DefaultDictNode", "collections.defaultdict"),
        ("DictNode", "builtins.dict"),
        ("DictNode", "collections.OrderedDict"),
        ("JsonNode", "builtins.str"),
        ("ListNode", "builtins.list"),
        ("NdArrayNode", "numpy.float64"),
        ("NdArrayNode", "numpy.int64"),
        ("NdArrayNode", "numpy.ndarray"),
        ("NdArrayNode", "numpy.uint64"),
        ("RandomGeneratorNode", "numpy.random._generator.Generator"),
        ("SliceNode", "builtins.slice"),
        ("TupleNode", "builtins.tuple"),
        ("TypeNode", "builtins.int"),
        ("TypeNode", "builtins.str"),
        ("TypeNode", "collections.OrderedDict"),
        ("TypeNode", "numpy.float64"),
        ("TypeNode", "numpy.int64"),
    }
)
LOSSES = (
    "AbsoluteError", "HalfBinomialLoss", "HalfGammaLoss", "HalfMultinomialLoss", "HalfPoissonLoss", "HalfSquaredError",
    "PinballLoss",
)  # fmt: skip
LINKS = ("IdentityLink", "Interval", "LogLink", "LogitLink", "MultinomialLogit")
ESTIMATORS = (
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "sklearn.compose._column_transformer.ColumnTransformer",
    "sklearn.ensemble._forest.RandomForestClassifier",
    "sklearn.ensemble._forest.RandomForestRegressor",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.impute._base.MissingIndicator",
    "sklearn.impute._base.SimpleImputer",
    "sklearn.linear_model._base.LinearRegression",
    "sklearn.linear_model._coordinate_descent.Lasso",
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.linear_model._ridge.Ridge",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.StandardScaler",
    "sklearn.preprocessing._encoders.OneHotEncoder",
    "sklearn.preprocessing._encoders.OrdinalEncoder",
    "sklearn.preprocessing._function_transformer.FunctionTransformer",
    "sklearn.preprocessing._label.LabelEncoder",
    "sklearn.tree._classes.DecisionTreeClassifier",
    "sklearn.tree._classes.DecisionTreeRegressor",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRegressor",
)
# CatBoost's models are bytes that nothing but CatBoost can read, so they open only under the seal of this installation.
SEALED = ("catboost.core.CatBoostClassifier", "catboost.core.CatBoostRegressor")
ADMITTED = PLAIN | {
    ("TreeNode", "sklearn.tree._tree.Tree"),
    *(("LossNode", f"sklearn._loss._loss.Cy{name}") for name in LOSSES),
    *(("ObjectNode", f"sklearn._loss.loss.{name}") for name in LOSSES),
    *(("ObjectNode", f"sklearn._loss.link.{name}") for name in LINKS),
    *(("ObjectNode", name) for name in ESTIMATORS),
}
# The same as types alone, which is what skops and MLflow ask for.
TRUSTED = tuple(sorted({*SEALED, *(name for _, name in ADMITTED)}))
