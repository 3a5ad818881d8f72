"""Export: from trained networks to ONNX graphs and a subject's folder."""
