"""approxtopk.topk for the standard library's array.array."""

from array import array

import numpy as np

from approxtopk import ArrayInfo, Backend, BackendSpec, hookimpl
from approxtopk_numpy.backend import NumpyBackend

INDEX_TYPECODES = {"int64": "q", "int32": "i"}


class ArrayBackend(Backend):
    certifies = True  # NumpyBackend does, so recall=1.0 is safe with it

    def describe(self, arr):
        return ArrayInfo((len(arr),), np.dtype(arr.typecode).name, "cpu")

    def refuses(self, request):
        return "array.array holds no booleans" if request.certificate else None

    def topk(self, arr, request, out=None):
        places = out and tuple(np.asarray(place) for place in out)  # views: written in place
        values, indices = NumpyBackend().topk(np.asarray(arr), request, places)
        typecode = INDEX_TYPECODES[request.index_dtype]
        return out or (array(arr.typecode, values.tobytes()), array(typecode, indices.tobytes()))


@hookimpl
def approxtopk_backends():
    return [BackendSpec("stdlib-array", ArrayBackend, array_types=("array.array",))]
