"""The page of `radiogen app`, in Streamlit; run it with that command. What it does is in the modules beside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

from radiogen.app.classifier import Prediction, model_folder, predict
from radiogen.app.files import Received, Upload, receive
from radiogen.app.identify import ROLES, Item, choose, find_items
from radiogen.app.pictures import LEVELS, Rgb, augmented, overlay
from radiogen.app.session import Workspace
from radiogen.app.steps import Finished, check_case_id, methods, volumes, words_of
from radiogen.app.work import FIRST_CASE, Wishes, again, make
from radiogen.config.app import ENVIRONMENT, AppSettings
from radiogen.errors import RadiogenError
from radiogen.report.slices import PLANES, head_box, intensity_window, slices_to_show
from radiogen.report.style import SEQUENCE_WORDS
from radiogen.report.viewer import LABEL_COLOURS, LABEL_WORDS
from radiogen.run.provenance import RESEARCH_USE
from radiogen.types import Volume

log = logging.getLogger(__name__)

_MADE = ("chosen", "done", "zip", "prediction", "measured")
_STATE = ("files", "received", "items", *_MADE)
_SEX = {"": "unknown", "F": "female", "M": "male"}
_WORDS = {"mask": "tumour mask", **{name: f"{name} ({words})" for name, words in SEQUENCE_WORDS.items()}}


def main() -> None:
    """Draw the page as far as the case has come."""
    st.set_page_config(page_title="radiogen", layout="wide")
    settings = AppSettings.model_validate_json(os.environ.get(ENVIRONMENT, "{}"))
    workspace = _workspace()
    st.title("radiogen")
    st.warning(f"**{RESEARCH_USE}**")
    st.write(
        "From the MRI of one patient to a tumour mask, its volumes and, with a model, a probability and its doubts. The files stay on this machine; "
        "what is made of them is removed when this page is closed. Download what you want to keep."
    )
    _drop(settings, workspace)
    if "items" in st.session_state:
        _settle(st.session_state["items"], workspace)
    if "done" in st.session_state:
        done: Finished = st.session_state["done"]
        _quality(done)
        _look(done)
        _volumes(done)
        _augmentation(done)
        _classifier(done, settings, workspace)
        _download(done)


@st.cache_resource(scope="session", on_release=Workspace.close, show_spinner=False)
def _workspace() -> Workspace:
    """Return the temporary folder of this session; it is removed with the session."""
    return Workspace()


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Show an error as one plain message."""
    try:
        yield
    except RadiogenError as error:
        _say_error(words_of(error))
    except Exception as error:  # the page's last line of defence: a reader is never shown a traceback
        log.exception("unexpected")
        _say_error(words_of(error))


def _say_error(words: str) -> None:
    # As plain text: a file's name must not be read as Markdown.
    escaped = "".join(f"\\{letter}" if letter in r"\`*_{}[]()#+!|<>$~:" else letter for letter in words)
    st.error(escaped.replace("\n  - ", "\n- ").replace("\n", "\n\n"))


@contextmanager
def _progress(title: str, finished: str) -> Iterator[Callable[[str], None]]:
    """Show what is being done while it is done."""
    with st.status(title, expanded=True) as status:
        try:
            yield st.write
        except BaseException:
            status.update(label="Stopped", state="error")
            raise
        status.update(label=finished, state="complete", expanded=False)


def _forget(names: Sequence[str] = _STATE) -> None:
    for name in names:
        st.session_state.pop(name, None)


def _drop(settings: AppSettings, workspace: Workspace) -> None:
    """Take what is dropped; a new set of files begins a new case."""
    st.header("1. Images")
    given = st.file_uploader(
        f"Drop T1, T1 with contrast, T2 and FLAIR of one visit: NIfTI files, DICOM files, or one zip of them; up to {settings.max_upload_mb} MB "
        "together. What is missing is told, and may be missing.",
        accept_multiple_files=True,
        key="uploads",
    )
    names = [one.file_id for one in given]
    if names == st.session_state.get("files", []):
        return
    _forget()
    folder = workspace.fresh()
    st.session_state["files"] = names
    if not given:
        return
    with _plain_errors():
        try:
            with _progress("Looking at the files", "The files were looked at") as say:
                say("Checking and unpacking")
                received = receive([Upload(one.name, one.getvalue()) for one in given], folder, settings)
                say("Telling the sequences apart")
                items = find_items(received, folder, settings)
        except Exception:
            workspace.fresh()
            raise
        st.session_state.update(received=received, items=items)


def _settle(items: list[Item], workspace: Workspace) -> None:
    """Show what each image was taken for and why, let the user correct it, and make the mask."""
    st.header("2. Sequences")
    received: Received = st.session_state["received"]
    if received.passed_over:
        st.info(f"{len(received.passed_over)} file(s) of other kinds in the zip were passed over.")
    with st.form("sequences"):
        roles = [_one_item(number, item) for number, item in enumerate(items)]
        st.subheader("How the mask is made")
        left, middle, right = st.columns(3)
        method = left.selectbox("Method", methods(), help="flair-threshold needs no training; the others are networks.")
        case = middle.text_input("Case id in what is written", FIRST_CASE, help="Not the patient's name.")
        register = right.checkbox(
            "Register to the template",
            help="Images that do not share a grid are always registered; tick it for those that do and still have a skull.",
        )
        left, middle, _ = st.columns(3)
        age = left.number_input("Age, years (only for models that ask)", 0.0, 120.0, value=None, step=1.0)
        sex = middle.selectbox("Sex (only for models that ask)", list(_SEX), format_func=_SEX.__getitem__)
        asked = st.form_submit_button("Make the mask", type="primary")
    if not asked:
        return
    _forget(_MADE)
    with _plain_errors():
        chosen = choose(items, roles)
        wishes = Wishes(check_case_id(case), method, register, age, sex)
        with workspace.working() as folder, _progress("Working", "The mask is made") as say:
            done, packed = make(chosen, folder / "study", wishes, say=say)
        st.session_state.update(chosen=chosen, done=done, zip=packed.read_bytes())


def _one_item(number: int, item: Item) -> str:
    with st.container(border=True):
        left, right = st.columns([1, 2])
        role = left.selectbox(
            f"Image {number + 1}", ROLES, index=ROLES.index(item.role), format_func=lambda one: _WORDS.get(one, one),
            key=f"role-{st.session_state['files'][0]}-{number}", disabled=bool(item.problem),
        )  # fmt: skip
        right.text(item.name)
        sure = f" ({item.confidence:.0%} sure)" if item.series is not None and item.confidence else ""
        reasons = "; ".join(item.reasons) + sure if item.reasons else ""
        right.text(f"Cannot be used: {item.problem}" if item.problem else f"{reasons}\n{item.geometry}".strip())
    return str(role)


def _quality(done: Finished) -> None:
    st.header("3. Quality")
    flags = [str(done.facts["flag_reason"])] if done.facts.get("flag_reason") else []
    flags += done.prepared.flags
    if flags:
        st.warning("Look at these before you use the mask:\n\n" + "\n".join(f"- {flag}" for flag in flags))
    else:
        st.success("Nothing was found against the images.")
    for note in (*done.prepared.notes, *done.facts.get("notes", ())):
        st.write(note)


def _measured(name: str, measure: Callable[[], Any]) -> Any:
    """Return what was measured on the case, measured once: pictures are drawn anew with every move of a slider."""
    known: dict[str, Any] = st.session_state.setdefault("measured", {})
    if name not in known:
        known[name] = measure()
    return known[name]


def _window(sequence: str, image: Volume) -> tuple[float, float]:
    low, high = _measured(sequence, lambda: intensity_window(image))
    return low, high


def _view(done: Finished) -> tuple[tuple[int, int, int], tuple[slice, slice, slice]]:
    """Return the slices to begin with, and the part of the volume that holds the head."""
    images, grid = done.images.images, done.images.grid
    start, box = _measured(
        "view", lambda: (slices_to_show(images, done.labels), head_box(images, done.labels, grid.voxel_size_mm))
    )
    return start, box


def _picture(where: Any, picture: Rgb, words: str) -> None:
    """Show a picture with its words under it, which are its alternative text, too."""
    where.image(picture, output_format="PNG", alt=words)
    where.markdown(f":small[{words}]")


@st.fragment
def _look(done: Finished) -> None:
    """Show the mask over three planes."""
    st.header("4. Mask")
    images, size = done.images.images, done.images.grid.voxel_size_mm
    left, middle, right = st.columns(3)
    sequence = str(left.selectbox("Sequence", list(images), index=len(images) - 1, format_func=lambda one: _WORDS[one]))
    opacity = middle.slider("Opacity of the mask, %", 0, 100, 50, step=5) / 100
    labels = done.labels if right.checkbox("Show the mask", value=True) else None
    image = images[sequence]
    start, box = _view(done)
    for column, (plane, axis) in zip(st.columns(3), PLANES.items(), strict=True):
        first, last = box[axis].start, box[axis].stop - 1
        index = first if last == first else column.slider(f"{plane.capitalize()} slice", first, last, start[axis])
        window = _window(sequence, image)
        picture = overlay(
            image[box], None if labels is None else labels[box], plane, index - box[axis].start, size,
            opacity=opacity, window=window,
        )  # fmt: skip
        _picture(
            column, picture, f"{plane} slice {index}, {sequence}, mask {'shown' if labels is not None else 'hidden'}"
        )
    st.markdown(
        "  ".join(_swatch(label) for label in LABEL_COLOURS if bool((done.labels == label).any())),
        unsafe_allow_html=True,
    )
    st.markdown(
        ":small[Seen radiologically: the patient's right is on the left; in sagittal slices the front is on the left.]"
    )


def _swatch(label: int) -> str:
    colour = LABEL_COLOURS[label]
    box = f"display:inline-block;width:0.9em;height:0.9em;background:{colour};border:1px solid #59636E"
    return f'<span style="white-space:nowrap"><span style="{box}"></span> {LABEL_WORDS[label]}</span>'


def _volumes(done: Finished) -> None:
    st.header("5. Volumes")
    table = volumes(done).rename(columns={"volume_ml": "volume, ml"}).set_index("region")
    st.table(table.map(lambda ml: "unknown" if ml != ml else f"{ml:.1f}"))
    st.markdown(
        f":small[Mask: {done.facts['method']}. Tumour core = necrotic core and enhancing tumour; whole tumour = core and oedema.]"
    )


@st.fragment
def _augmentation(done: Finished) -> None:
    """Show what training makes of a slice."""
    st.header("6. What training makes of it")
    images, size = done.images.images, done.images.grid.voxel_size_mm
    left, middle, right = st.columns(3)
    sequence = str(
        left.selectbox("Sequence to change", list(images), index=len(images) - 1, format_func=lambda one: _WORDS[one])
    )
    level = str(middle.selectbox("Augmentation", LEVELS, index=len(LEVELS) - 1))
    seed = int(right.number_input("Seed", 0, 2**31 - 1, 3))
    index = _view(done)[0][PLANES["axial"]]
    with _plain_errors():
        before = overlay(
            images[sequence], done.labels, "axial", index, size, window=_window(sequence, images[sequence])
        )
        after = augmented(images, done.labels, sequence, index, size, level=level, seed=seed)
        left, right = st.columns(2)
        _picture(left, before, f"axial slice {index} as it is, {sequence}")
        _picture(right, after, f"the same slice under '{level}', seed {seed}")


def _classifier(done: Finished, settings: AppSettings, workspace: Workspace) -> None:
    st.header("7. Classifier")
    with st.form("classifier"):
        folder = st.text_input("Folder of a model that radiogen classify wrote (OUT/model)", settings.model)
        asked = st.form_submit_button("Ask the model")
    if asked:
        st.session_state.pop("prediction", None)
        with _plain_errors():
            with workspace.working(), _progress("Asking the model", "The model has answered") as say:
                prediction = predict(done, model_folder(folder), say=say)
                packed = again(done, st.session_state["chosen"], prediction)
            st.session_state.update(prediction=prediction, zip=packed.read_bytes())
    if "prediction" in st.session_state:
        _answer(st.session_state["prediction"])


def _answer(prediction: Prediction) -> None:
    probability, interval = float(prediction.row["y_prob"]), prediction.interval
    st.metric(f"Probability: {prediction.card['positive_means']}", f"{probability:.2f}")
    st.write(
        "This model gives no interval." if interval is None else f"Interval: {interval[0]:.2f} to {interval[1]:.2f}"
    )
    st.info(prediction.call)
    for line in prediction.warnings:
        st.warning(line)
    with st.expander("Model card"):
        st.markdown(prediction.card_text.replace("\n# ", "\n#### ").removeprefix("# "))


def _download(done: Finished) -> None:
    st.header("8. Download")
    st.download_button(
        "Download everything (zip)", st.session_state["zip"], f"{done.case}.zip", "application/zip", type="primary"
    )
    st.markdown(
        ":small[Mask on the images' own voxels (NIfTI), volumes, report page and, where they were made, registered images and prediction.]"
    )


if __name__ == "__main__":
    main()
