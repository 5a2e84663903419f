"""secateur prunes random resistive memory into working neural networks."""

__version__ = "0.1.0"
