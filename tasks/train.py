"""Train: from a dataset to the dense network, the one that all others are held against."""

from tasks.contracts.artifacts import Dataset, Network, Run
from tasks.contracts.config import TrainConfig
from tasks.step import step


@step(name="train")
def train(dataset: Dataset, config: TrainConfig, run: Run) -> Network:
    """Train the dense network and store it.

    Raises:
        ModelError: The family does not fit the data, or the custom model is broken.
        TrainingError: The loss became NaN, or a checkpoint could not be written.
    """
    from tasks.exporters import plots
    from tasks.models import zoo
    from tasks.stores import tracking
    from tasks.stores.datasets import opened
    from tasks.stores.networks import put_network
    from tasks.stores.s3 import Store
    from tasks.trainers import launch
    from tasks.trainers.loop import Arrays
    from tasks.trainers.progress import epoch_bar, to_both

    store = Store.from_environment(run.bucket, run.prefix)
    with opened(store, dataset) as data:
        recipe = launch.recipe(data.manifest.schema_, data.manifest.encoding, config)
        module = zoo.build(recipe.architecture, seed=run.seed)
        with tracking.EpochLog(run.mlflow_run_id, prefix="train") as log, epoch_bar("train", config.epochs) as bar:
            fit = launch.run(
                module,
                Arrays(*data.arrays("train")),
                Arrays(*data.arrays("validation")),
                recipe=recipe,
                seed=run.seed,
                checkpoint=launch.checkpoint_folder(dataset.sha256, recipe, run.seed),
                report=to_both(log, bar),
            )
    curve = plots.learning_curve([e.train_loss for e in fit.epochs], [e.validation_loss for e in fit.epochs])
    tracking.log_figure(run.mlflow_run_id, curve, "plots/learning_curve.png")
    return put_network(
        store,
        module,
        name="dense",
        architecture=recipe.architecture,
        history=[],
        loss=recipe.loss,
        metric=fit.metric * recipe.metric_scale,
    )
