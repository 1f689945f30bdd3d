static int read_picture(const struct options *options, struct tensors *tensors)
{
    (void)options;
    (void)tensors;
    return fail("@REASON@: give --tensors");
}
