"""What int8 leaves as it is: layers that lose more than they gain."""

from floodseg.deployment.nodes import Nodes
from floodseg.models.context_prior import ContextPrior
from floodseg.models.deploy import DeployedModel
from floodseg.models.layers.attention import EfficientSelfAttention
from floodseg.models.networks.baseline import FullSelfAttention
from floodseg.models.specialists.cloud_detector import CloudDetector
from floodseg.models.specialists.router import Router

_KEPT = EfficientSelfAttention | FullSelfAttention | CloudDetector | Router | ContextPrior


def unquantised(nodes: Nodes, deployed: DeployedModel, first: int = 0, last: int = 0) -> list[str]:
    """Return the names of the nodes that are not quantised.

    Attention costs little and multiplies what it is given; so does the cloud detector, and a router takes its
    exponential, as a context prior takes logarithms: these are to be exact. So is what the whole model does with one
    channel, the margin of each pixel: mixing with radar under clouds, and temperatures. Arithmetic on validity alone
    has one channel, too: to convert it to int8 and back costs more than it does.

    Args:
        nodes: the graph's.
        deployed: the module that the graph was made of.
        first: convolutions to leave as they are from the beginning, with all that leads to the next one.
        last: convolutions to leave from the end.
    """
    kept = [name for name, module in deployed.named_modules() if isinstance(module, _KEPT)]
    return [*nodes.up_to(first), *nodes.last(last), *nodes.within(kept), *nodes.of_the_whole(), *nodes.of_validity()]
