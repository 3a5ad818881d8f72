"""The fake detector (EDN, section 6): tells a subject's videos from real footage."""
