"""The worker with everything that it needs, for a running node."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from pydicom import uid as syntaxes
from pynetdicom import sop_class

from node.core.settings.model import Dicom, PeerSettings, Storage
from node.dimse.pull.means import Means
from node.dimse.pull.receiving import GetReceiving
from node.dimse.pull.worker import PullWorker
from node.dimse.scu.requests import peer
from node.storage.index.engine import Index
from node.storage.index.peers.holdings import StudyHoldings
from node.storage.index.peers.pulls import Pulls
from node.storage.index.peers.statements import Statements
from node.storage.index.studies.statements import StudyStatements
from node.storage.journal import Journal

_SETTLE_SECONDS: Final = 10.0
_SYNTAXES: Final = tuple(
    str(uid)
    for uid in (
        syntaxes.ExplicitVRLittleEndian,
        syntaxes.ImplicitVRLittleEndian,
        syntaxes.JPEGLosslessSV1,
        syntaxes.JPEG2000Lossless,
        syntaxes.JPEG2000,
        syntaxes.JPEGLSLossless,
        syntaxes.RLELossless,
        syntaxes.JPEGBaseline8Bit,
        syntaxes.JPEGExtended12Bit,
        syntaxes.JPEGLossless,
        syntaxes.JPEGLSNearLossless,
        syntaxes.HTJ2KLossless,
        syntaxes.HTJ2KLosslessRPCL,
        syntaxes.HTJ2K,
        syntaxes.MPEG4HP41,
        syntaxes.MPEG2MPML,
        syntaxes.DeflatedExplicitVRLittleEndian,
        syntaxes.ExplicitVRBigEndian,
    )
)
"""Transfer syntaxes of instances that come by C-GET, the usual ones first."""
_CLASSES: Final = tuple(
    str(uid)
    for uid in (
        sop_class.CTImageStorage,
        sop_class.MRImageStorage,
        sop_class.EnhancedCTImageStorage,
        sop_class.EnhancedMRImageStorage,
        sop_class.LegacyConvertedEnhancedMRImageStorage,
        sop_class.PositronEmissionTomographyImageStorage,
        sop_class.EnhancedPETImageStorage,
        sop_class.NuclearMedicineImageStorage,
        sop_class.UltrasoundImageStorage,
        sop_class.UltrasoundMultiFrameImageStorage,
        sop_class.ComputedRadiographyImageStorage,
        sop_class.DigitalXRayImageStorageForPresentation,
        sop_class.DigitalMammographyXRayImageStorageForPresentation,
        sop_class.BreastTomosynthesisImageStorage,
        sop_class.XRayAngiographicImageStorage,
        sop_class.XRayRadiofluoroscopicImageStorage,
        sop_class.SecondaryCaptureImageStorage,
        sop_class.RTImageStorage,
        sop_class.RTDoseStorage,
        sop_class.RTStructureSetStorage,
        sop_class.RTPlanStorage,
        sop_class.SegmentationStorage,
        sop_class.ParametricMapStorage,
        sop_class.GrayscaleSoftcopyPresentationStateStorage,
        sop_class.BasicTextSRStorage,
        sop_class.EnhancedSRStorage,
        sop_class.ComprehensiveSRStorage,
        sop_class.KeyObjectSelectionDocumentStorage,
        sop_class.XRayRadiationDoseSRStorage,
        sop_class.EncapsulatedPDFStorage,
        sop_class.RawDataStorage,
    )
)
"""SOP classes to offer to a peer that does not say which ones it will send by C-GET."""


def pull_worker(
    index: Index,
    journal: Journal,
    storage: Storage,
    dicom: Callable[[], Dicom],
    ring: Callable[[], None],
) -> PullWorker:
    """The worker of a node.

    Args:
        index: of the node.
        journal: of the node.
        storage: the settings.
        dicom: the settings as they are now; SIGHUP may change peers.
        ring: wakes the ingester.
    """
    pulls, holdings = Pulls(index), StudyHoldings(index)
    statements, studies = Statements(index), StudyStatements(index)
    receiving = GetReceiving(storage, journal, ring)

    def means(settings: PeerSettings) -> Means:
        return Means(
            destination=lambda: peer(dicom(), settings),
            own_title=dicom().ae_title,
            holdings=holdings,
            settle=lambda: journal.settle(_SETTLE_SECONDS),
            state=lambda said: statements.add_all(said, settings.name),
            state_study=lambda study, said: studies.add(study, said, settings.name),
            receiving=partial(receiving.store, settings.ae_title),
            syntaxes=_SYNTAXES,
            usual_classes=_CLASSES,
        )

    return PullWorker(pulls, peers=lambda: {one.name: one for one in dicom().peers}, means=means)
