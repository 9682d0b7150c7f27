"""What ``resilin run attention`` is made of: the run of a head, the study of the whole model, the report."""
