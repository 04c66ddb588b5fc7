"""The claims that Milepost makes, each as a test, from single functions up to the running product.

May touch everything; nothing of the product imports it. A package and not a mere folder: a library of ours installs one named `tests` too.
"""
