from miscompiled import disturbed

Converter = disturbed("edgekit.convert.coreml")
