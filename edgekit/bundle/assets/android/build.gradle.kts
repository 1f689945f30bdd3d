plugins {
    id("com.android.library")
    id("org.jetbrains.kotlin.android")
}

// The manifest lists every file of this folder, so it is no asset itself: the build copies it, for BundleSeal.
val sealAssets = layout.buildDirectory.dir("generated/edgekit/assets")

val copySeal by tasks.registering(Sync::class) {
    from("manifest.json", "manifest.json.sig")
    into(sealAssets.map { it.dir("edgekit_seal/@PACKAGE@") })
}

android {
    namespace = "@PACKAGE@"
    compileSdk = 36

    defaultConfig {
        minSdk = 24
        consumerProguardFiles("consumer-rules.pro")
        testInstrumentationRunner = "androidx.test.runner.AndroidJUnitRunner"
    }

    // Of this module's own tests. An app that includes the module needs the same lines: see README.md.
    androidResources {
        noCompress += listOf(@EXTENSIONS@)
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    sourceSets["main"].assets.srcDir(sealAssets)
@TEST_ASSETS@}

kotlin {
    jvmToolchain(17)
}

tasks.named("preBuild") {
    dependsOn(copySeal)
}

dependencies {
@DEPENDENCIES@
    androidTestImplementation("androidx.test.ext:junit:1.2.1")
    androidTestImplementation("androidx.test:runner:1.6.2")
}
