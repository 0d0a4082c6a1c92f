"""Prune: from the dense network to a smaller one, fine-tuned on the same data."""

from tasks.contracts.artifacts import Network, Plan, Run
from tasks.contracts.config import PruneConfig, TrainConfig
from tasks.contracts.dataset import Dataset
from tasks.recall import Recall
from tasks.step import step


@step(name="prune", task_run_name="prune {plan.name}", recall=Recall(curves="{plan.name}"))
def prune(
    dense: Network,
    *,
    plan: Plan,
    epochs: int,
    dataset: Dataset,
    config: PruneConfig,
    training: TrainConfig,
    run: Run,
) -> Network:
    """Make the network that the plan asks for, train it, store it.

    Channels are cut at once; weights are zeroed gradually over `epochs`, or at once if there are none. A student is
    trained for as long as the dense network was meant to be, with that as its teacher.

    Raises:
        ModelError: The network has nothing that could be cut, or the student is no smaller.
    """
    from dataclasses import replace

    from tasks.compressors import dropout, magnitude
    from tasks.compressors.gradual import Sparsity
    from tasks.compressors.structure import structure
    from tasks.exporters.watching import watched
    from tasks.stores.checkpoints import Checkpoints
    from tasks.stores.datasets import opened
    from tasks.stores.networks import get_network, put_network
    from tasks.stores.s3 import Store
    from tasks.trainers import launch
    from tasks.trainers.loop import Arrays
    from tasks.trainers.progress import to_all

    store = Store.from_environment(run.bucket, run.prefix)
    is_student = bool(plan.hidden_sizes)
    epochs = training.epochs if is_student else epochs
    teacher = get_network(store, dense)
    with opened(store, dataset) as data:
        module, architecture, history = structure(
            teacher,
            dense.architecture,
            plan,
            data.sample("train", 2, run.seed),
            round_to=config.round_to,
            seed=run.seed,
        )
        if plan.sparsity and not epochs:
            magnitude.prune_weights(module, plan.sparsity)
        left = (1 - plan.sparsity) * sum(p.numel() for p in module.parameters()) / dense.parameters
        recipe = launch.recipe(data.manifest.schema_, data.manifest.encoding, training)
        recipe = replace(
            recipe, architecture=dropout.ease(module, architecture, 1.0 if is_student else left), loss=dense.loss
        )
        with watched(run, plan.name, epochs) as report, Checkpoints(store, run.step_key) as saves:
            fit = launch.run(
                module,
                Arrays(*data.arrays("train")),
                Arrays(*data.arrays("validation")),
                recipe=recipe,
                history=history,
                seed=run.seed,
                epochs=epochs,
                teacher=teacher if config.distill or is_student else None,
                sparsity=Sparsity(plan.sparsity) if plan.sparsity else None,
                report=to_all(report, saves),
                checkpoint=saves.folder,
            )
    return put_network(
        store,
        module,
        name=plan.name,
        architecture=architecture,
        history=history,
        loss=dense.loss,
        metric=fit.metric * recipe.metric_scale,
        epochs=len(fit.epochs),
    )
