"""`./dev build`: stages every Greengrass component's recipe and artifacts under greengrass-build/.

`recipe` judges the source recipes, `policy` their access control; `wheels` fetches the packages; `zips`
packs; `stage` puts all of it in place; `command` is the command line.
"""
