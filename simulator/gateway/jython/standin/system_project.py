# mypy: ignore-errors
"""system.project and system.dataset."""

from standin import datasets


def project_functions(project):
    return {
        "getProjectName": lambda: project["name"],
        "getProjectNames": lambda: [project["name"]],
    }


def dataset_functions():
    return {"toPyDataSet": datasets.to_py, "toDataSet": datasets.to_dataset}
