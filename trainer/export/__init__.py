"""Export: trained networks to a subject's folder."""
