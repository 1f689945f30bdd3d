package @PACKAGE@

@IMPORTS@

/** The golden inputs through every variant, in its runtime, on this device. */
@RunWith(AndroidJUnit4::class)
class @CLASS@GoldenTest {
@TESTS@
    private fun holds(
        id: String, samples: Int, inputs: List<String>, outputs: List<String>, maxAbs: Double, cosine: Double
    ) {
        val context = InstrumentationRegistry.getInstrumentation().targetContext
        val selection = @CLASS@.select(id)
        val given = inputs.map { Golden.bytes(it) }
        val expected = outputs.map { Golden.bytes(it) }
        val specs = selection.variant.outputs
        val actual = specs.map { ArrayList<DoubleArray>() }
        val reference = specs.map { ArrayList<DoubleArray>() }
        val assets = InstrumentationRegistry.getInstrumentation().context.assets
        @CLASS@.open(context, AssetFiles(assets), selection).use { model ->
            for (sample in 0 until samples) {
                val results = model.runStored(
                    selection.variant.inputs.mapIndexed { index, spec -> Golden.sample(given[index], spec, sample) }
                )
                specs.forEachIndexed { index, spec ->
                    actual[index].add(Golden.reals(spec, results[index]))
                    reference[index].add(Golden.reals(spec, Golden.sample(expected[index], spec, sample)))
                }
            }
        }
        specs.forEachIndexed { index, spec ->
            Golden.hold("$id, ${spec.name}", actual[index], reference[index], maxAbs, cosine)
        }
    }
}
