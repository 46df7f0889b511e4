"""lbfast: a Layer-4 load balancer in user space that behaves as IPVS does."""

__version__ = "0.1.0"
__all__ = ["__version__"]
