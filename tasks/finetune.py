"""Finetune: a smaller network that came through a round is trained on, zeros and all."""

from tasks.contracts.artifacts import Network, Run
from tasks.contracts.config import PruneConfig, TrainConfig
from tasks.contracts.dataset import Dataset
from tasks.recall import Recall
from tasks.step import step

GENTLER = 0.25
"""Of the learning rate: the network has its shape and is polished. Two runs on MNIST favour it
by 0.06 and 0.08 points over a full restart, which is within what two runs differ by."""


@step(
    name="finetune",
    task_run_name="finetune {network.name}:{network.epochs}",
    recall=Recall(curves="{network.name}"),
)
def finetune(
    network: Network,
    *,
    dense: Network,
    epochs: int,
    dataset: Dataset,
    config: PruneConfig,
    training: TrainConfig,
    run: Run,
) -> Network:
    """Go on from the network's weights for so many epochs, and store what comes of it.

    A weight that is exactly zero stays zero, whatever the network is called: pruning made it so. Each round has a name
    of its own, by the epochs that came before it.
    """
    from dataclasses import replace

    from tasks.compressors import dropout
    from tasks.compressors.gradual import Sparsity
    from tasks.exporters.watching import watched
    from tasks.stores.checkpoints import Checkpoints
    from tasks.stores.datasets import opened
    from tasks.stores.networks import get_network, get_with_history, put_network
    from tasks.stores.s3 import Store
    from tasks.trainers import launch
    from tasks.trainers.loop import Arrays
    from tasks.trainers.progress import to_all

    store = Store.from_environment(run.bucket, run.prefix)
    module, history = get_with_history(store, network)
    with opened(store, dataset) as data:
        gentler = training.model_copy(update={"learning_rate": GENTLER * training.learning_rate})
        recipe = launch.recipe(data.manifest.schema_, data.manifest.encoding, gentler)
        eased = dropout.ease(module, network.architecture, network.parameters / dense.parameters)
        recipe = replace(recipe, architecture=eased, loss=network.loss)
        with watched(run, network.name, epochs, network.epochs) as report, Checkpoints(store, run.step_key) as saves:
            fit = launch.run(
                module,
                Arrays(*data.arrays("train")),
                Arrays(*data.arrays("validation")),
                recipe=recipe,
                history=history,
                seed=run.seed + network.epochs,
                epochs=epochs,
                teacher=get_network(store, dense) if config.distill else None,
                sparsity=Sparsity(),
                report=to_all(report, saves),
                checkpoint=saves.folder,
            )
    return put_network(
        store,
        module,
        name=network.name,
        architecture=network.architecture,
        history=history,
        loss=network.loss,
        metric=fit.metric * recipe.metric_scale,
        epochs=network.epochs + len(fit.epochs),
    )
