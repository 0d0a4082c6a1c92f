"""Prune: from the dense network to a smaller one, fine-tuned on the same data."""

from tasks.contracts.artifacts import Dataset, Network, Run
from tasks.contracts.config import PruneConfig, TrainConfig
from tasks.step import step


@step(name="prune", task_run_name="prune {ratio}")
def prune(
    dense: Network, *, ratio: float, dataset: Dataset, config: PruneConfig, training: TrainConfig, run: Run
) -> Network:
    """Cut `ratio` of the dense network away, fine-tune what is left, store it.

    Raises:
        ModelError: The network has nothing that could be cut.
    """
    from tasks.compressors import magnitude
    from tasks.compressors.channels import History, prune_channels
    from tasks.stores.datasets import opened
    from tasks.stores.networks import get_network, put_network
    from tasks.stores.s3 import Store
    from tasks.stores.tracking import EpochLog
    from tasks.trainers import launch
    from tasks.trainers.loop import Arrays
    from tasks.trainers.progress import epoch_bar, to_both

    store = Store.from_environment(run.bucket, run.prefix)
    name = f"{config.method}-{ratio * 100:g}"
    teacher = get_network(store, dense)
    with opened(store, dataset) as data:
        recipe = launch.recipe(data.manifest.schema_, data.manifest.encoding, training)
        module, history, masks = get_network(store, dense), History(), None
        if config.method == "channels":
            module, history = prune_channels(module, data.sample("train", 2, run.seed), ratio)
        else:
            masks = magnitude.prune_weights(module, ratio)
        with EpochLog(run.mlflow_run_id, prefix=name) as log, epoch_bar(name, config.finetune_epochs) as bar:
            fit = launch.run(
                module,
                Arrays(*data.arrays("train")),
                Arrays(*data.arrays("validation")),
                recipe=recipe,
                history=history,
                seed=run.seed,
                epochs=config.finetune_epochs,
                teacher=teacher if config.distill else None,
                masks=masks,
                report=to_both(log, bar),
            )
    return put_network(
        store,
        module,
        name=name,
        architecture=recipe.architecture,
        history=history,
        loss=recipe.loss,
        metric=fit.metric * recipe.metric_scale,
    )
