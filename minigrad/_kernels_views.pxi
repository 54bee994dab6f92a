# A part of `_kernels.pyx`: other views of an array, where numpy takes longer to begin.

@cython.final
cdef class _Reshape(Quick):
    """Of (x, shape), where x is row-major and the shape has no -1."""

    cdef object run(self, tuple raw):
        cdef cnp.npy_intp sizes[32]
        cdef cnp.PyArray_Dims dims
        cdef Py_ssize_t i, n, count = 1
        if not cnp.PyArray_Check(raw[0]) or type(raw[1]) is not tuple:
            return None
        n = len(<tuple>raw[1])
        if n > 32 or not cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>raw[0]):
            return None
        for i in range(n):
            if type((<tuple>raw[1])[i]) is not int:
                return None
            sizes[i] = (<tuple>raw[1])[i]
            if sizes[i] < 0:
                return None
            count *= sizes[i]
        if count != cnp.PyArray_SIZE(<cnp.ndarray>raw[0]):
            return None
        dims.ptr, dims.len = sizes, n
        return cnp.PyArray_Newshape(<cnp.ndarray>raw[0], &dims, cnp.NPY_CORDER)


@cython.final
cdef class _Permute(Quick):
    """Of (x, dims)."""

    cdef object run(self, tuple raw):
        cdef cnp.npy_intp places[32]
        cdef cnp.PyArray_Dims dims
        cdef Py_ssize_t i, axis, n
        cdef unsigned long long seen = 0
        if not cnp.PyArray_Check(raw[0]) or type(raw[1]) is not tuple:
            return None
        n = len(<tuple>raw[1])
        if n > 32 or n != cnp.PyArray_NDIM(<cnp.ndarray>raw[0]):
            return None
        for i in range(n):
            axis = _axis((<tuple>raw[1])[i], n)
            if axis < 0 or seen >> axis & 1:
                return None
            seen |= <unsigned long long>1 << axis
            places[i] = axis
        dims.ptr, dims.len = places, n
        return cnp.PyArray_Transpose(<cnp.ndarray>raw[0], &dims)


@cython.final
cdef class _Expand(Quick):
    """Of (x, size)."""

    cdef object run(self, tuple raw):
        cdef cnp.npy_intp sizes[32]
        cdef cnp.npy_intp strides[32]
        cdef cnp.ndarray x, out
        cdef Py_ssize_t i, n, lead
        if not cnp.PyArray_Check(raw[0]) or type(raw[1]) is not tuple:
            return None
        x, n = raw[0], len(<tuple>raw[1])
        lead = n - x.ndim
        if n > 32 or lead < 0:
            return None
        for i in range(n):
            if type((<tuple>raw[1])[i]) is not int:
                return None
            sizes[i] = (<tuple>raw[1])[i]
            strides[i] = 0
            if i >= lead:
                if sizes[i] == -1:
                    sizes[i] = x.shape[i - lead]
                if sizes[i] == x.shape[i - lead]:
                    strides[i] = x.strides[i - lead]
                elif x.shape[i - lead] != 1:
                    return None
            if sizes[i] < 0:
                return None
        out = cnp.PyArray_New(
            np.ndarray, n, sizes, cnp.PyArray_TYPE(x), strides, x.data, 0, 0, None
        )
        cnp.set_array_base(out, x)
        return out
